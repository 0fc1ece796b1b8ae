//! The commands of `tse-route` for the page: `tse_route_cli::api`, with answers as JSON text.

// The macro of wasm-bindgen writes unsafe code.
#![allow(unsafe_code)]

use serde_json::Value;
use tse_route_cli::api;
use wasm_bindgen::prelude::wasm_bindgen;

type Answer = Result<String, String>;

fn text(answer: Result<Value, String>) -> Answer {
    answer.map(|value| value.to_string())
}

/// Milliseconds since 1970, as browsers count them.
fn time(milliseconds: f64) -> u64 {
    // A clock before 1970 stands at 1970.
    milliseconds as u64
}

/// The JSON Schema of a configuration.
#[wasm_bindgen]
pub fn schema() -> String {
    api::schema().to_string()
}

/// What other gateways know of traffic splitting, as a KongPlugin.
#[wasm_bindgen(js_name = importText)]
pub fn import_text(text: &str) -> String {
    api::import(text).to_string()
}

/// The configurations of a text.
#[wasm_bindgen]
pub struct Document(api::Document);

#[wasm_bindgen]
impl Document {
    /// Reads a text.
    #[wasm_bindgen(constructor)]
    pub fn new(text: &str) -> Self {
        Self(api::Document::read(text))
    }

    /// All that is wrong with the text, and what its configurations are.
    pub fn check(&self) -> String {
        self.0.check().to_string()
    }

    /// How a request is decided, and why.
    ///
    /// # Errors
    /// What is wrong with the request or the configuration.
    pub fn explain(&mut self, configuration: usize, case: &str, at: f64) -> Answer {
        text(self.0.explain(configuration, case, time(at)))
    }

    /// How a request is decided.
    ///
    /// # Errors
    /// What is wrong with the request or the configuration.
    pub fn decision(&mut self, configuration: usize, case: &str, at: f64) -> Answer {
        text(self.0.decision(configuration, case, time(at)))
    }

    /// A simulation of so many requests.
    ///
    /// # Errors
    /// What is wrong with the request or the configuration.
    pub fn simulation(
        &self,
        configuration: usize,
        case: Option<String>,
        requests: f64,
        at: f64,
    ) -> Result<Simulation, String> {
        let running = self.0.simulation(configuration, case.as_deref(), time(requests), time(at));
        running.map(Simulation)
    }

    /// The shares of a rule's upstreams over time.
    ///
    /// # Errors
    /// Where there is no such rule in a usable configuration.
    pub fn shares(
        &self,
        configuration: usize,
        rule: usize,
        from: f64,
        to: f64,
        times: u32,
    ) -> Answer {
        text(self.0.shares(configuration, rule, (time(from), time(to)), times))
    }

    /// Who moves when the weights of a rule become these, in hundredths.
    ///
    /// # Errors
    /// Where there is no such rule in a usable configuration, or the weights cannot be its own.
    pub fn moves(
        &self,
        configuration: usize,
        rule: usize,
        weights: &[u32],
        clients: f64,
        at: f64,
    ) -> Answer {
        text(self.0.moves(configuration, rule, weights, time(clients), time(at)))
    }

    /// What the circuit breakers of a rule make of an upstream that fails for a while.
    ///
    /// # Errors
    /// Where there is no such rule with circuit breakers in a usable configuration.
    pub fn outage(
        &self,
        configuration: usize,
        rule: usize,
        upstream: &str,
        error_rate: f64,
        at: f64,
    ) -> Answer {
        text(self.0.outage(configuration, rule, upstream, error_rate, time(at)))
    }
}

/// A simulation on its way.
#[wasm_bindgen]
pub struct Simulation(api::Running);

#[wasm_bindgen]
impl Simulation {
    /// Sends at most so many requests more; returns how many have been sent.
    pub fn advance(&mut self, requests: u32) -> f64 {
        self.0.advance(requests.into()) as f64
    }

    /// What has been found so far.
    pub fn report(&mut self) -> String {
        self.0.report().to_string()
    }
}
