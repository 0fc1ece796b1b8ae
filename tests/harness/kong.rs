//! Kong Gateway: ngx_wasm_module, and what Kong's Lua does before and after a filter.
//!
//! The order is Kong's: its access handler, wrapped by the bridge; the filter's request steps; the
//! balancer, wrapped; the header filter, wrapped; the filter's response step; the log.

use super::abi::{self, INTERNAL_FAILURE, Map};
use super::bridge::Bridge;
use super::exchange::{Exchange, Phase};
use super::gateway::{
    Answer, Change, Gateway, Local, NOBODY, OWN, Refused, Response, dotted, map_of,
};
use super::headers::Headers;
use super::request::{Request, Step};
use super::shared::SharedMemory;
use serde_json::{Value, json};
use std::cell::RefCell;

/// Functions that ngx_wasm_module declares and then traps on.
const NOT_YET: &[&str] = &[
    "proxy_get_log_level",
    "proxy_done",
    "proxy_close_stream",
    "proxy_grpc_call",
    "proxy_grpc_stream",
    "proxy_grpc_send",
    "proxy_grpc_cancel",
    "proxy_grpc_close",
    "proxy_get_status",
    "proxy_resolve_shared_queue",
];

/// A Kong.
#[derive(Clone, Debug)]
pub struct Kong {
    bridge: Option<RefCell<Bridge>>,
    /// The Upstreams, and whether a target of them is healthy.
    upstreams: Vec<(String, bool)>,
    buffer_size: usize,
    /// The zone that `KONG_NGINX_WASM_SHM_KV` defines.
    zone: Option<SharedMemory>,
}

impl Kong {
    /// A Kong without the bridge plugin.
    pub fn alone() -> Self {
        let upstreams = ["canary", "blue", "green"].map(|name| (name.to_owned(), true));
        Self { bridge: None, upstreams: upstreams.to_vec(), buffer_size: 8 * 1024, zone: None }
    }

    /// A Kong with the bridge plugin.
    pub fn bridged() -> Self {
        Self::greeting(json!({ "protocol": 3 }))
    }

    /// A Kong with a bridge plugin that says this of itself.
    pub fn greeting(greeting: Value) -> Self {
        Self { bridge: Some(RefCell::new(Bridge::new(greeting))), ..Self::alone() }
    }

    /// Adds an Upstream.
    pub fn upstream(mut self, name: &str) -> Self {
        self.upstreams.push((name.to_owned(), true));
        self
    }

    /// Adds an Upstream without a healthy target.
    pub fn dead_upstream(mut self, name: &str) -> Self {
        self.upstreams.push((name.to_owned(), false));
        self
    }

    /// Sets `client_body_buffer_size`.
    pub fn buffer_size(mut self, bytes: usize) -> Self {
        self.buffer_size = bytes;
        self
    }

    /// Makes this a worker of the Kong that has this zone.
    pub fn shared_memory(mut self, zone: &SharedMemory) -> Self {
        self.zone = Some(zone.clone());
        self
    }

    fn healthy(&self, upstream: &str) -> Option<bool> {
        self.upstreams.iter().find(|(name, _)| name == upstream).map(|(_, healthy)| *healthy)
    }
}

impl Gateway for Kong {
    fn signature(&self, import: &str) -> Option<&'static str> {
        match import {
            // Declared with a parameter too many, so that a filter that imports it does not load.
            "proxy_get_log_level" => Some("ii"),
            _ => abi::signature(import),
        }
    }

    fn unmodelled(&self, import: &str) -> Refused {
        let why = match import {
            _ if NOT_YET.contains(&import) => "host trap (function not yet implemented)",
            "proxy_set_tick_period_milliseconds" => {
                "ticks multiply after traps and go on for removed configurations"
            }
            _ => "the harness does not know it",
        };
        Refused::trap(format!("{import}: {why}"))
    }

    fn knows_standard_output(&self) -> bool {
        false
    }

    fn allocates_nothing(&self) -> bool {
        true
    }

    fn memory(&self) -> Option<&SharedMemory> {
        self.zone.as_ref()
    }

    /// As in ngx_wasm_module (source).
    fn zero_forces(&self) -> bool {
        false
    }

    fn configuration(&self, route: usize, text: &[u8]) -> Vec<u8> {
        match &self.bridge {
            Some(bridge) => bridge.borrow_mut().configure(route, text),
            None => text.to_vec(),
        }
    }

    fn enter(&self, exchange: &mut Exchange, route: usize) {
        if let Some(bridge) = &self.bridge {
            bridge.borrow_mut().access(exchange, route);
        }
    }

    fn open(&self, request: Request) -> Exchange {
        let mut headers = Headers::default();
        if let Some(host) = &request.host {
            headers.add("Host", host);
        }
        for (name, value) in request.headers.iter() {
            headers.add(name, value);
        }
        // A filter never learns in the headers step whether there will be a body; then it gets all
        // of it at once, and one without bytes not at all.
        let mut steps = vec![Step::Headers { end_of_stream: false }];
        if request.body_size() > 0 {
            steps.push(Step::Body { bytes: request.body.concat(), end_of_stream: true });
        }
        Exchange::new(request, headers, steps, OWN)
    }

    fn holds(&self, _: &Step) -> Result<(), &'static str> {
        Err("a Pause with nothing pending hangs the request for good")
    }

    /// The request leaves after its last step, by way of the balancer.
    fn forward(&self, exchange: &mut Exchange) {
        if exchange.local.is_some() {
            exchange.steps.clear();
            exchange.sent = Some((NOBODY.to_owned(), Headers::default()));
        } else if exchange.steps.is_empty() {
            if let Some(bridge) = &self.bridge {
                bridge.borrow().balance(exchange, |upstream| self.healthy(upstream));
            }
            exchange.sent = Some((exchange.upstream.clone(), exchange.request.with_hidden()));
        }
    }

    fn answer(&self, exchange: &mut Exchange, local: Local) -> Answer<()> {
        if exchange.has_response() {
            return Err(Refused::trap("response already sent"));
        }
        if exchange.local.replace(local).is_some() {
            return Err(Refused::trap("local response already stashed"));
        }
        Ok(())
    }

    fn gives_up(&self) -> bool {
        false
    }

    /// An answer that nginx makes itself never meets the filter again.
    fn respond(&self, exchange: &mut Exchange) -> Response {
        let refused = exchange.client.refused;
        let status = match &exchange.local {
            Some(local) => {
                exchange.response = local.headers.clone();
                local.status
            }
            None if refused => 502,
            None => {
                exchange.response = exchange.client.answer.clone();
                exchange.client.status(&exchange.upstream)
            }
        };
        if let Some(bridge) = &self.bridge {
            bridge.borrow().header_filter(exchange);
            bridge.borrow_mut().log(exchange);
        }
        Response { status, is_filtered: exchange.local.is_some() || !refused }
    }

    fn headers(&self, exchange: &Exchange, map: Map) -> Answer<Headers> {
        let mut headers = Headers::default();
        if map == Map::Response {
            return Ok(exchange.response.clone());
        }
        for name in [":path", ":method", ":scheme", ":authority"] {
            if let Ok(value) = self.header(exchange, map, name.as_bytes()) {
                headers.add(name, value);
            }
        }
        for (name, value) in exchange.request.iter() {
            headers.add(name, value);
        }
        Ok(headers)
    }

    fn header(&self, exchange: &Exchange, map: Map, name: &[u8]) -> Answer<Vec<u8>> {
        let client = &exchange.client;
        let value = match (map, name) {
            (Map::Request, b":path") => client.path.as_deref(),
            (Map::Request, b":method") => client.method.as_deref(),
            (Map::Request, b":scheme") => Some(client.scheme.as_bytes()),
            (Map::Request, b":authority") => Some(&b"kong:8000"[..]),
            (Map::Request, name) => exchange.request.get(name),
            // ngx_wasm_module does not look whether a header has been cleared.
            (Map::Response, name) => exchange.response.listed(name),
        };
        value.map(<[u8]>::to_vec).ok_or(Refused::NOT_FOUND)
    }

    fn change(
        &self,
        exchange: &mut Exchange,
        map: Map,
        name: &[u8],
        change: Change<'_>,
    ) -> Answer<()> {
        let in_request = matches!(exchange.phase, Phase::RequestHeaders | Phase::RequestBody);
        let in_time = match map {
            Map::Request => in_request,
            Map::Response => in_request || exchange.phase == Phase::ResponseHeaders,
        };
        if !in_time {
            return Err(Refused::trap(format!("{map:?} headers cannot be set any more")));
        }
        let headers = map_of(exchange, map);
        match (map, change) {
            // The upstream gets what nginx's list has, whether it is marked as removed or not.
            (Map::Request, Change::Set(value)) => headers.overwrite(name, value),
            (Map::Request, Change::Remove) => headers.hide(name),
            (_, change) => change.apply(headers, name),
        }
        Ok(())
    }

    fn body(&self, exchange: &Exchange) -> Answer<Vec<u8>> {
        match exchange.phase {
            // It has not been read yet.
            Phase::RequestHeaders => Err(Refused::NOT_FOUND),
            // A larger one is in a file.
            Phase::RequestBody | Phase::Log if exchange.buffer.len() > self.buffer_size => {
                Err(Refused::NOT_FOUND)
            }
            Phase::RequestBody | Phase::Log => Ok(exchange.buffer.clone()),
            _ => Err(Refused::trap("the request's body cannot be read in this phase")),
        }
    }

    fn property(&self, exchange: Option<&mut Exchange>, path: &[u8]) -> Answer<Vec<u8>> {
        let name = dotted(path);
        let Some(exchange) = exchange else {
            let kills = ["plugin_name", "upstream.address", "connection.id"];
            return if kills.contains(&name.as_str()) || name.starts_with("request.headers.") {
                Err(Refused::trap(format!("SIGSEGV: {name} read in the root context")))
            } else {
                Err(Refused::Status(INTERNAL_FAILURE))
            };
        };
        let client = &exchange.client;
        let sent = |value: &Option<Vec<u8>>| value.clone().ok_or(Refused::NOT_FOUND);
        match name.as_str() {
            "source.address" => Ok(client.client.clone().into_bytes()),
            "request.host" => Ok(b"kong-7d9f4".to_vec()),
            "request.path" => sent(&client.path),
            "request.method" => sent(&client.method),
            "request.scheme" => Ok(client.scheme.into()),
            "ngx.http_cookie" => {
                let cookies: Vec<_> = exchange.request.all("cookie").collect();
                if cookies.is_empty() {
                    Err(Refused::NOT_FOUND)
                } else {
                    Ok(cookies.join(&b"; "[..]))
                }
            }
            "ngx.upstream_status" if exchange.has_response() => {
                let tries: Vec<_> =
                    client.tries(&exchange.upstream).iter().map(u16::to_string).collect();
                Ok(tries.join(", ").into_bytes())
            }
            "upstream.address" => Ok(b"\x01\xfe".to_vec()),
            "upstream.port" => Err(Refused::Status(INTERNAL_FAILURE)),
            "ngx.upstream_x_forwarded_proto" => {
                let forwarded = client.headers.get("x-forwarded-proto").filter(|_| client.trusted);
                Ok(forwarded.unwrap_or(client.scheme.as_bytes()).to_vec())
            }
            _ if name.starts_with("kong.") => Err(lua(&name)),
            _ => match (name.strip_prefix("request.headers."), name.strip_prefix("ngx.http_")) {
                (Some(header), _) => self.header(exchange, Map::Request, header.as_bytes()),
                (None, Some(variable)) => in_any_spelling(&exchange.request, variable),
                (None, None) => Err(Refused::NOT_FOUND),
            },
        }
    }

    fn set_property(&self, exchange: Option<&mut Exchange>, path: &[u8], _: &[u8]) -> Answer<()> {
        let name = dotted(path);
        match exchange {
            None => Err(Refused::Status(INTERNAL_FAILURE)),
            Some(_) if name.starts_with("kong.") => Err(lua(&name)),
            Some(_) => Err(Refused::NOT_FOUND),
        }
    }

    fn foreign_function(&self, _: Option<&mut Exchange>, name: &[u8]) -> Answer<Vec<u8>> {
        Err(Refused::trap(format!(
            "proxy_call_foreign_function({}): host trap (function not yet implemented)",
            name.escape_ascii()
        )))
    }

    fn define_metric(&mut self, _: u32, name: &str) -> Answer<u32> {
        Err(Refused::trap(format!("a metric of tse-route breaks Kong's /metrics: {name}")))
    }

    fn increment_metric(&mut self, id: u32, _: i64) -> Answer<()> {
        Err(Refused::trap(format!("could not increment metric id \"{id}\": metric not found")))
    }

    fn record_metric(&mut self, id: u32, _: i64) -> Answer<()> {
        Err(Refused::trap(format!("could not record metric id \"{id}\": metric not found")))
    }

    fn set_tick(&mut self) -> Answer<()> {
        Err(Refused::trap("ticks multiply after traps and go on for removed configurations"))
    }

    fn metric(&self, _: &str) -> Option<i64> {
        None
    }
}

/// Every `kong.*` property runs Lua, which may yield, collect the filter's own instance, or meet the
/// wrong request: now and then it kills the worker, and so it always fails a test.
fn lua(name: &str) -> Refused {
    Refused::trap(format!("SIGSEGV, some day: {name} runs Lua inside a call of the filter"))
}

/// A request header as nginx's variables know it: with `_` for every `-`, in capitals or not.
fn in_any_spelling(headers: &Headers, variable: &str) -> Answer<Vec<u8>> {
    let spelt = |name: &[u8]| name.escape_ascii().to_string().to_lowercase().replace('-', "_");
    let values: Vec<&[u8]> = headers
        .iter()
        .filter(|(name, _)| spelt(name) == variable)
        .map(|(_, value)| value)
        .collect();
    if values.is_empty() { Err(Refused::NOT_FOUND) } else { Ok(values.join(&b", "[..])) }
}
