//! Kong Gateway: ngx_wasm_module and the properties that Kong's Lua adds to it.

use super::abi::{self, INTERNAL_FAILURE, Map};
use super::bridge::{self, Outages};
use super::exchange::{Exchange, Phase};
use super::gateway::{Answer, Change, Gateway, OWN, Refused, Response, dotted, map_of};
use super::headers::Headers;
use super::request::{Request, Step};
use super::shared::SharedMemory;
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

/// Where the bridge tells of failures; the number of a configuration follows.
const FAILURES: &str = "kong.tse_route.failures.";

/// A Kong.
#[derive(Clone, Debug)]
pub struct Kong {
    version: String,
    bridge: bool,
    /// The Upstreams, and whether a target of them is healthy.
    upstreams: Vec<(String, bool)>,
    buffer_size: usize,
    /// The zone that `KONG_NGINX_WASM_SHM_KV` defines.
    zone: Option<SharedMemory>,
    /// The requests that the bridge has seen fail without the filter.
    outages: RefCell<Outages>,
}

impl Kong {
    /// A Kong of this version, without the bridge plugin.
    pub fn version(version: &str) -> Self {
        let upstreams = ["canary", "blue", "green"].map(|name| (name.to_owned(), true));
        Self {
            version: version.to_owned(),
            bridge: false,
            upstreams: upstreams.to_vec(),
            buffer_size: 8 * 1024,
            zone: None,
            outages: RefCell::default(),
        }
    }

    /// The Kong that this filter is made for: the last open one, with the bridge plugin.
    pub fn bridged() -> Self {
        Self::version("3.9.3").bridge()
    }

    /// Adds the bridge plugin.
    pub fn bridge(mut self) -> Self {
        self.bridge = true;
        self
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

    /// The minor version of Kong 3.
    fn minor(&self) -> u32 {
        let minor = self.version.split('.').nth(1).and_then(|minor| minor.parse().ok());
        minor.expect("a version such as 3.9.3")
    }

    /// Whether Kong's Lua answers for `kong.*`; older ones only store two constants.
    fn has_lua_properties(&self) -> bool {
        self.minor() >= 6
    }

    /// Whether the filter runs before the balancer, so that its choice takes effect.
    fn switches_by_property(&self) -> bool {
        matches!(self.minor(), 6 | 7)
    }

    fn healthy(&self, upstream: &str) -> Option<bool> {
        self.upstreams.iter().find(|(name, _)| name == upstream).map(|(_, healthy)| *healthy)
    }

    fn kong_property(&self, exchange: &Exchange, name: &str) -> Answer<Vec<u8>> {
        let client = &exchange.client;
        if !self.has_lua_properties() {
            return match name {
                "kong.route_id" | "kong.service_id" => Ok(b"0b5b1b7c".to_vec()),
                _ => Err(Refused::NOT_FOUND),
            };
        }
        let in_log = exchange.phase == Phase::Log;
        match name {
            "kong.version" => Ok(self.version.clone().into_bytes()),
            "kong.tse_route.bridge" if self.bridge => Ok(b"1".to_vec()),
            "kong.tse_route.result" if self.bridge => Ok(exchange.bridge_result.into()),
            _ if self.bridge && name.starts_with(FAILURES) => {
                let taken = self.outages.borrow_mut().take(&name[FAILURES.len()..]);
                taken.map(String::into_bytes).ok_or(Refused::NOT_FOUND)
            }
            "kong.request.forwarded_scheme" => {
                let forwarded = client.headers.get("x-forwarded-proto").filter(|_| client.trusted);
                Ok(forwarded.unwrap_or(client.scheme.as_bytes()).to_vec())
            }
            "kong.client.protocol" => Ok(client.scheme.into()),
            "kong.route_id" | "kong.service_id" => Ok(b"0b5b1b7c".to_vec()),
            "kong.route_name" | "kong.service_name" if !in_log => Ok(b"shop".to_vec()),
            "kong.response.source" => Err(Refused::trap("kong.response.source traps, always")),
            "kong.service.response.status" => match exchange.phase {
                Phase::ResponseHeaders => Ok(b"200".to_vec()),
                _ => Err(Refused::trap("kong.service.response.status traps in request and log")),
            },
            _ => match name.strip_prefix("kong.ctx.shared.") {
                Some(key) => exchange.published.get(key).cloned().ok_or(Refused::NOT_FOUND),
                None => Err(Refused::NOT_FOUND),
            },
        }
    }

    /// What a plain Kong does with a chosen Upstream.
    fn set_upstream(&self, exchange: &mut Exchange, name: &str) -> Answer<()> {
        if self.healthy(name).is_none() {
            return Err(Refused::trap(format!(
                "could not set \"kong.service.upstream\" to {name}"
            )));
        }
        if self.switches_by_property() {
            exchange.upstream = name.to_owned();
        }
        Ok(())
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

    /// The request leaves after its last step.
    fn forward(&self, exchange: &mut Exchange) {
        if exchange.steps.is_empty() {
            exchange.sent = Some((exchange.upstream.clone(), exchange.request.clone()));
        }
    }

    fn gives_up(&self) -> bool {
        false
    }

    /// An answer that nginx makes itself never meets the filter again.
    fn respond(&self, exchange: &mut Exchange) -> Response {
        let refused = exchange.client.refused;
        if !refused {
            exchange.response = exchange.client.answer.clone();
        } else if let Some(breaker) = &exchange.breaker {
            self.outages.borrow_mut().note(breaker);
        }
        for (name, value) in exchange.imposed.iter() {
            exchange.response.set(name, value);
        }
        let status = if refused { 502 } else { exchange.client.status(&exchange.upstream) };
        Response { status, is_filtered: !refused }
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
            (Map::Response, name) => exchange.response.get(name),
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
        change.apply(map_of(exchange, map), name);
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
            _ if name.starts_with("kong.") => self.kong_property(exchange, &name),
            _ => match name.strip_prefix("request.headers.") {
                Some(header) => self.header(exchange, Map::Request, header.as_bytes()),
                None => Err(Refused::NOT_FOUND),
            },
        }
    }

    fn set_property(
        &self,
        exchange: Option<&mut Exchange>,
        path: &[u8],
        value: &[u8],
    ) -> Answer<()> {
        let name = dotted(path);
        let Some(exchange) = exchange else { return Err(Refused::Status(INTERNAL_FAILURE)) };
        if !name.starts_with("kong.") {
            return Err(Refused::NOT_FOUND);
        }
        // Kong 3.4 and 3.5 would keep the value to themselves (source); here they are as strict as
        // the later ones, since to set what has no effect is a mistake on them, too.
        let has_setters = self.has_lua_properties();
        match name.as_str() {
            "kong.service.upstream" if has_setters => {
                self.set_upstream(exchange, &String::from_utf8_lossy(value))
            }
            "kong.tse_route.route" if self.bridge => {
                bridge::decide(exchange, value, |upstream| self.healthy(upstream))
            }
            _ => match name.strip_prefix("kong.ctx.shared.").filter(|_| has_setters) {
                Some(key) => {
                    exchange.published.insert(key.to_owned(), value.to_vec());
                    Ok(())
                }
                None => Err(Refused::trap(format!("could not set {name}: it has no setter"))),
            },
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
