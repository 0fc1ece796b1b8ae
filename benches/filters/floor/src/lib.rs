//! What the calls alone cost: for one rule on one header this filter makes the calls to Envoy that
//! tse-route makes with its defaults, in their order, and nothing else. Rule, upstream and headers are
//! written into the code.

use proxy_wasm::hostcalls::{define_metric, increment_metric, record_metric};
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, MetricType};
use std::time::SystemTime;

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| Box::new(Root { metrics: None }));
}}

#[derive(Clone, Copy)]
struct Metrics {
    requests: u32,
    responses: u32,
    latency: u32,
}

struct Root {
    metrics: Option<Metrics>,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, _: usize) -> bool {
        let metrics = || {
            Ok::<_, proxy_wasm::types::Status>(Metrics {
                requests: define_metric(MetricType::Counter, "floor_requests")?,
                responses: define_metric(MetricType::Counter, "floor_responses")?,
                latency: define_metric(MetricType::Histogram, "floor_latency_ms")?,
            })
        };
        self.metrics = metrics().ok();
        self.metrics.is_some()
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        let stream = Stream { metrics: self.metrics?, sent: None };
        Some(Box::new(stream))
    }
}

struct Stream {
    metrics: Metrics,
    sent: Option<SystemTime>,
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        let tenant = self.get_http_request_header_bytes("x-tenant");
        if tenant.is_some_and(|tenant| tenant.starts_with(b"tenant-")) {
            self.sent = Some(self.get_current_time());
            self.set_http_request_header("x-tse-route-upstream", Some("canary"));
            let _ = self.call_foreign_function("clear_route_cache", None);
            let _ = increment_metric(self.metrics.requests, 1);
            self.set_property(vec!["tse_route_rule"], Some(b"50"));
        }
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        if let Some(sent) = self.sent {
            let waited = self.get_current_time().duration_since(sent).unwrap_or_default();
            if self.get_http_response_header_bytes(":status").is_some() {
                let _ = increment_metric(self.metrics.responses, 1);
            }
            let _ = record_metric(self.metrics.latency, waited.as_millis() as u64);
            self.set_http_response_header("X-Kong-Route-Rule", Some("50"));
            self.set_http_response_header("X-Kong-Route-Upstream", Some("canary"));
        }
        Action::Continue
    }
}
