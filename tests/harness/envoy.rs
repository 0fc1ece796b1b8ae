//! Envoy 1.40, with routes as in the shipped examples: the request header that carries the upstream
//! names the cluster, and a request without it goes to the service's own.

use super::abi::{BAD_ARGUMENT, Map};
use super::exchange::Exchange;
use super::gateway::{Answer, Change, Gateway, OWN, Refused, Response, map_of};
use super::headers::Headers;
use super::request::{Request, Step};
use super::shared::SharedMemory;

/// An Envoy.
#[derive(Debug)]
pub struct Envoy {
    clusters: Vec<String>,
    header: String,
    allows_stop_iteration: bool,
    metrics: Vec<(String, i64)>,
    memory: SharedMemory,
}

impl Default for Envoy {
    fn default() -> Self {
        Self::new()
    }
}

impl Envoy {
    /// An Envoy with some clusters and the usual internal header.
    pub fn new() -> Self {
        Self {
            clusters: [OWN, "canary", "blue", "green"].map(str::to_owned).to_vec(),
            header: "x-tse-route-upstream".to_owned(),
            allows_stop_iteration: true,
            metrics: Vec::new(),
            memory: SharedMemory::default(),
        }
    }

    /// Adds a cluster.
    pub fn cluster(mut self, name: &str) -> Self {
        self.clusters.push(name.to_owned());
        self
    }

    /// Reads the cluster from another header.
    pub fn header(mut self, name: &str) -> Self {
        self.header = name.to_owned();
        self
    }

    /// Makes this a worker of the Envoy that has this memory.
    pub fn shared_memory(mut self, memory: &SharedMemory) -> Self {
        self.memory = memory.clone();
        self
    }

    /// Leaves `allow_on_headers_stop_iteration` out of the plugin's configuration.
    pub fn without_stop_iteration(mut self) -> Self {
        self.allows_stop_iteration = false;
        self
    }

    /// The cluster that the route table gives for these headers.
    fn pick(&self, headers: &Headers) -> String {
        headers.text(&self.header).unwrap_or_else(|| OWN.to_owned())
    }
}

impl Gateway for Envoy {
    fn knows_standard_output(&self) -> bool {
        true
    }

    fn allocates_nothing(&self) -> bool {
        false
    }

    fn memory(&self) -> Option<&SharedMemory> {
        Some(&self.memory)
    }

    /// As in proxy-wasm-cpp-host (source).
    fn zero_forces(&self) -> bool {
        true
    }

    fn open(&self, request: Request) -> Exchange {
        let mut headers = Headers::default();
        let pseudo = [
            (":authority", request.host.as_deref()),
            (":path", request.path.as_deref()),
            (":method", request.method.as_deref()),
            (":scheme", Some(request.scheme.as_bytes())),
        ];
        for (name, value) in pseudo {
            if let Some(value) = value {
                headers.add(name, value);
            }
        }
        for (name, value) in request.headers.in_lower_case().iter() {
            headers.add(name, value);
        }
        if !request.trusted || headers.get("x-forwarded-proto").is_none() {
            headers.set("x-forwarded-proto", request.scheme);
        }
        let steps = steps(&request);
        // The route is picked before the first filter runs.
        let upstream = self.pick(&headers);
        Exchange::new(request, headers, steps, &upstream)
    }

    fn holds(&self, step: &Step) -> Result<(), &'static str> {
        match step {
            Step::Headers { .. } if !self.allows_stop_iteration => Err(
                "a Pause in the headers stops the body too, without `allow_on_headers_stop_iteration`",
            ),
            _ => Ok(()),
        }
    }

    fn forward(&self, exchange: &mut Exchange) {
        if exchange.sent.is_none() {
            exchange.sent = Some((exchange.upstream.clone(), exchange.request.clone()));
        }
    }

    /// The stream's own timeout ends it.
    fn gives_up(&self) -> bool {
        true
    }

    /// Its own answers go through the filters, too.
    fn respond(&self, exchange: &mut Exchange) -> Response {
        let (upstream, _) = exchange.sent.as_ref().expect("a request that was forwarded");
        let status = if exchange.client.refused || !self.clusters.contains(upstream) {
            503
        } else {
            exchange.response = exchange.client.answer.in_lower_case();
            exchange.client.status(upstream)
        };
        exchange.response.set(":status", status.to_string());
        Response { status, is_filtered: true }
    }

    fn headers(&self, exchange: &Exchange, map: Map) -> Answer<Headers> {
        match map {
            Map::Request => Ok(exchange.request.clone()),
            Map::Response if exchange.has_response() => Ok(exchange.response.clone()),
            Map::Response => Err(Refused::Status(BAD_ARGUMENT)),
        }
    }

    fn change(
        &self,
        exchange: &mut Exchange,
        map: Map,
        name: &[u8],
        change: Change<'_>,
    ) -> Answer<()> {
        if map == Map::Response && !exchange.has_response() {
            return Err(Refused::Status(BAD_ARGUMENT));
        }
        change.apply(map_of(exchange, map), &name.to_ascii_lowercase());
        if map == Map::Request {
            // For a filter of ABI 0.2.1.
            exchange.upstream = self.pick(&exchange.request);
        }
        Ok(())
    }

    fn body(&self, exchange: &Exchange) -> Answer<Vec<u8>> {
        Ok(exchange.buffer.clone())
    }

    fn property(&self, exchange: Option<&mut Exchange>, path: &[u8]) -> Answer<Vec<u8>> {
        let Some(exchange) = exchange else {
            return match path {
                b"plugin_name" => Ok(b"tse-route".to_vec()),
                _ => Err(Refused::NOT_FOUND),
            };
        };
        let header =
            |name| exchange.request.get(name).map(<[u8]>::to_vec).ok_or(Refused::NOT_FOUND);
        match path {
            b"source\0address" => {
                let client = &exchange.client.client;
                let bracketed =
                    if client.contains(':') { format!("[{client}]") } else { client.clone() };
                Ok(format!("{bracketed}:51234").into_bytes())
            }
            b"request\0host" => header(":authority"),
            b"request\0path" => header(":path"),
            b"request\0method" => header(":method"),
            b"request\0scheme" => header(":scheme"),
            _ => Err(Refused::NOT_FOUND),
        }
    }

    /// Any name is taken: it becomes filter state, under the path as it stands.
    fn set_property(
        &self,
        exchange: Option<&mut Exchange>,
        path: &[u8],
        value: &[u8],
    ) -> Answer<()> {
        if let Some(exchange) = exchange {
            exchange.published.insert(String::from_utf8_lossy(path).into_owned(), value.to_vec());
        }
        Ok(())
    }

    fn foreign_function(&self, exchange: Option<&mut Exchange>, name: &[u8]) -> Answer<Vec<u8>> {
        if name != b"clear_route_cache" {
            return Err(Refused::NOT_FOUND);
        }
        if let Some(exchange) = exchange {
            exchange.upstream = self.pick(&exchange.request);
        }
        Ok(Vec::new())
    }

    fn define_metric(&mut self, kind: u32, name: &str) -> Answer<u32> {
        if kind > 2 {
            return Err(Refused::Status(BAD_ARGUMENT));
        }
        self.metrics.push((name.to_owned(), 0));
        Ok(u32::try_from(self.metrics.len() - 1).expect("few metrics"))
    }

    fn increment_metric(&mut self, id: u32, offset: i64) -> Answer<()> {
        let metric = usize::try_from(id).ok().and_then(|id| self.metrics.get_mut(id));
        metric.ok_or(Refused::NOT_FOUND).map(|(_, value)| *value += offset)
    }

    fn record_metric(&mut self, id: u32, value: i64) -> Answer<()> {
        let metric = usize::try_from(id).ok().and_then(|id| self.metrics.get_mut(id));
        metric.ok_or(Refused::NOT_FOUND).map(|(_, last)| *last = value)
    }

    fn set_tick(&mut self) -> Answer<()> {
        Ok(())
    }

    fn metric(&self, name: &str) -> Option<i64> {
        self.metrics.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
    }
}

/// A request without body ends with its headers; a body ends with its last piece, or with the
/// trailers behind it.
fn steps(request: &Request) -> Vec<Step> {
    let ends_with_headers = request.body.is_empty() && !request.trailers;
    let mut steps = vec![Step::Headers { end_of_stream: ends_with_headers }];
    for (index, bytes) in request.body.iter().enumerate() {
        let end_of_stream = index + 1 == request.body.len() && !request.trailers;
        steps.push(Step::Body { bytes: bytes.clone(), end_of_stream });
    }
    if request.trailers {
        steps.push(Step::Trailers);
    }
    steps
}
