//! The smallest filter with the effect of one rule: it reads one header, sets one, clears the route
//! cache, and adds two response headers. Rule, upstream and headers are written into the code.

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType};

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| Box::new(Root));
}}

struct Root;

impl Context for Root {}

impl RootContext for Root {
    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream { routed: false }))
    }
}

struct Stream {
    routed: bool,
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        let tenant = self.get_http_request_header_bytes("x-tenant");
        if tenant.is_some_and(|tenant| tenant.starts_with(b"tenant-")) {
            self.set_http_request_header("x-tse-route-upstream", Some("canary"));
            let _ = self.call_foreign_function("clear_route_cache", None);
            self.routed = true;
        }
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        if self.routed {
            self.add_http_response_header("X-Kong-Route-Rule", "50");
            self.add_http_response_header("X-Kong-Route-Upstream", "canary");
        }
        Action::Continue
    }
}
