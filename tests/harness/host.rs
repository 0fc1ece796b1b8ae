//! A worker of a gateway with the filter in it, and the requests that it serves.

use super::exchange::{Exchange, Outcome, Phase};
use super::faults::{Faults, Random};
use super::gateway::Gateway;
use super::guest::{Line, State};
use super::imports::{linked, misfits};
use super::request::{Builder, Request, Step};
use serde_json::Value;
use std::mem;
use std::time::Duration;
use wasmtime::{Instance, Store, Val};

/// The end of a request, or of a whole worker, that must not happen.
pub type Failure = String;

/// The instructions that one call of the filter may take: more than a second's worth, so that only
/// a loop without end needs more.
const FUEL: u64 = 1_000_000_000;

/// Starts gateways.
pub trait Start: Gateway + Sized + 'static {
    /// A worker without any configuration.
    fn start(self) -> Host {
        self.start_with_faults(Faults::none()).expect("the filter starts")
    }

    /// A worker that is faulty from its very start.
    fn start_with_faults(self, faults: Faults) -> Result<Host, Failure> {
        let misfits = misfits(&self);
        assert!(misfits.is_empty(), "the filter would not be loaded: {misfits:#?}");
        let mut host = Host { worker: None, plugins: Vec::new(), next_context: 1 };
        host.boot(State::new(Box::new(self), faults))?;
        Ok(host)
    }

    /// A worker with one configuration, which must be accepted.
    fn with(self, configuration: &Value) -> Host {
        let mut host = self.start();
        host.add(configuration.to_string());
        host
    }
}

impl<G: Gateway + 'static> Start for G {}

/// The instance and its memory.
struct Worker {
    store: Store<State>,
    instance: Instance,
}

/// A configuration in force.
struct Plugin {
    root: u32,
    configuration: Vec<u8>,
}

/// A worker of a gateway, with one instance of the filter for all of its configurations.
pub struct Host {
    worker: Option<Worker>,
    plugins: Vec<Plugin>,
    next_context: u32,
}

impl Host {
    /// Makes an instance and configures it anew.
    fn boot(&mut self, state: State) -> Result<(), Failure> {
        let mut store = Store::new(linked().module().engine(), state);
        let instance = linked().instantiate(&mut store).expect("the filter can be instantiated");
        self.worker = Some(Worker { store, instance });
        self.call("_initialize", &[])?;
        for plugin in mem::take(&mut self.plugins) {
            self.configure(plugin.configuration)?;
        }
        Ok(())
    }

    /// Gives the filter one more configuration, and returns whether it accepts it.
    pub fn configure(&mut self, configuration: impl Into<Vec<u8>>) -> Result<bool, Failure> {
        let configuration = configuration.into();
        let root = self.new_context();
        let route = self.plugins.len();
        let handed = self.state().gateway.configuration(route, &configuration);
        let size = u32::try_from(handed.len()).expect("a small configuration");
        self.state().configuration = handed;
        self.call("proxy_on_context_create", &[root, 0])?;
        let starts = self.call("proxy_on_vm_start", &[root, 0])?;
        let accepted = starts != 0 && self.call("proxy_on_configure", &[root, size])? != 0;
        // The first tick comes a moment after it was asked for, before any request.
        if accepted && mem::take(&mut self.state().ticks) {
            self.call("proxy_on_tick", &[root])?;
        }
        if accepted {
            self.plugins.push(Plugin { root, configuration });
        }
        Ok(accepted)
    }

    /// Gives the filter one more configuration, which must be accepted, and returns its number.
    pub fn add(&mut self, configuration: impl Into<Vec<u8>>) -> usize {
        let accepted = self.configure(configuration).expect("the filter survives");
        assert!(accepted, "the configuration was refused: {:#?}", self.state().log);
        self.plugins.len() - 1
    }

    fn new_context(&mut self) -> u32 {
        self.next_context += 1;
        self.next_context - 1
    }

    fn worker(&mut self) -> &mut Worker {
        self.worker.as_mut().expect("there is always an instance between calls")
    }

    pub(super) fn state(&mut self) -> &mut State {
        self.worker().store.data_mut()
    }

    /// A request through the first configuration.
    pub fn request(&mut self) -> Builder<'_> {
        self.request_through(0)
    }

    /// A request through the configuration of this number.
    pub fn request_through(&mut self, plugin: usize) -> Builder<'_> {
        Builder::new(self, plugin)
    }

    /// What the filter has logged since this was last asked.
    pub fn take_log(&mut self) -> Vec<Line> {
        mem::take(&mut self.state().log)
    }

    /// The errors among what the filter has logged since this was last asked.
    pub fn take_errors(&mut self) -> Vec<String> {
        let errors = self.take_log().into_iter().filter(|line| line.level >= 4);
        errors.map(|line| line.text).collect()
    }

    /// The host calls that were made outside of requests.
    pub fn root_calls(&mut self) -> &[String] {
        &self.state().root_calls
    }

    /// The value of a metric.
    pub fn metric(&mut self, name: &str) -> Option<i64> {
        self.state().gateway.metric(name)
    }

    /// Lets time go by.
    pub fn advance(&mut self, time: Duration) {
        self.state().clock += u64::try_from(time.as_nanos()).expect("some centuries");
    }

    /// Sets the clock to a time since the epoch.
    pub fn set_clock(&mut self, time: Duration) {
        self.state().clock = u64::try_from(time.as_nanos()).expect("some centuries");
    }

    /// Makes the random numbers of this worker others than those of another.
    pub fn seed(&mut self, seed: u64) {
        self.state().random = Random(seed);
    }

    /// Makes the host faulty from now on, or sound again.
    pub fn set_faults(&mut self, faults: Faults) {
        self.state().faults = faults;
    }

    /// Opens a request: its headers are with the filter, and nothing of its body.
    pub(super) fn open(&mut self, plugin: usize, request: Request) -> Result<u32, Failure> {
        let (root, context) = (self.plugins[plugin].root, self.new_context());
        let mut exchange = self.state().gateway.open(request);
        self.state().gateway.enter(&mut exchange, plugin);
        self.state().exchanges.insert(context, exchange);
        self.call("proxy_on_context_create", &[context, root])?;
        self.step(context)?;
        let exchange = self.exchange(context);
        if let Some((name, value)) = &exchange.client.decided_over {
            exchange.request.set(name, value);
        }
        Ok(context)
    }

    /// The rest of a request's way.
    pub(super) fn finish(&mut self, context: u32) -> Result<Outcome, Failure> {
        while !self.exchange(context).steps.is_empty() && self.exchange(context).stuck.is_none() {
            self.step(context)?;
        }
        let exchange = self.exchange(context);
        if exchange.paused && exchange.stuck.is_none() {
            exchange.stuck = Some("the filter holds the request back, and nothing more comes");
        }
        let stuck = exchange.stuck;
        match stuck {
            Some(why) if !self.state().gateway.gives_up() => {
                Err(format!("the request hangs: {why}"))
            }
            Some(_) => {
                self.end(context)?;
                Ok(self.close(context, None))
            }
            None => self.answer(context),
        }
    }

    /// Hands the next piece of a request to the filter.
    fn step(&mut self, context: u32) -> Result<(), Failure> {
        let Some(step) = self.exchange(context).steps.pop_front() else { return Ok(()) };
        let exchange = self.exchange(context);
        let action = match &step {
            Step::Headers { end_of_stream } => {
                let count = u32::try_from(exchange.request.iter().count()).expect("few headers");
                self.call("proxy_on_request_headers", &[context, count, u32::from(*end_of_stream)])?
            }
            Step::Body { bytes, end_of_stream } => {
                exchange.phase = Phase::RequestBody;
                if !exchange.paused {
                    exchange.buffer.clear();
                }
                exchange.buffer.extend(bytes);
                let size = u32::try_from(exchange.buffer.len()).expect("a small body");
                self.call("proxy_on_request_body", &[context, size, u32::from(*end_of_stream)])?
            }
            Step::Trailers => {
                exchange.phase = Phase::RequestTrailers;
                self.call("proxy_on_request_trailers", &[context, 0])?
            }
        };
        let (gateway, exchange) = self.parts(context);
        exchange.paused = action != 0;
        if !exchange.paused {
            gateway.forward(exchange);
        } else if let Err(why) = gateway.holds(&step) {
            exchange.stuck = Some(why);
        }
        Ok(())
    }

    /// The way of the response.
    fn answer(&mut self, context: u32) -> Result<Outcome, Failure> {
        let latency = self.exchange(context).client.latency;
        self.advance(latency);
        let (gateway, exchange) = self.parts(context);
        let response = gateway.respond(exchange);
        if response.is_filtered {
            exchange.phase = Phase::ResponseHeaders;
            let count = u32::try_from(exchange.response.iter().count()).expect("few headers");
            if self.call("proxy_on_response_headers", &[context, count, 0])? != 0 {
                return Err("the response hangs".to_owned());
            }
            self.end(context)?;
        }
        Ok(self.close(context, Some(response.status)))
    }

    /// The last callbacks of a request.
    fn end(&mut self, context: u32) -> Result<(), Failure> {
        self.exchange(context).phase = Phase::Log;
        self.call("proxy_on_done", &[context])?;
        self.call("proxy_on_log", &[context])?;
        self.call("proxy_on_delete", &[context])?;
        Ok(())
    }

    fn close(&mut self, context: u32, status: Option<u16>) -> Outcome {
        let exchange = self.state().exchanges.remove(&context).expect("an open request");
        let (upstream, request) = exchange.sent.unwrap_or((exchange.upstream, exchange.request));
        Outcome {
            upstream,
            status,
            request,
            response: exchange.response,
            body: exchange.local.map(|local| local.body.escape_ascii().to_string()),
            published: exchange.published,
            calls: exchange.calls,
        }
    }

    fn parts(&mut self, context: u32) -> (&mut dyn Gateway, &mut Exchange) {
        let state = self.state();
        let exchange = state.exchanges.get_mut(&context).expect("an open request");
        (state.gateway.as_mut(), exchange)
    }

    fn exchange(&mut self, context: u32) -> &mut Exchange {
        self.parts(context).1
    }

    /// Calls the filter. Its first argument is the context, if it has any.
    ///
    /// A trap is the end of the instance and of all requests that it had; the next call finds a new one.
    fn call(&mut self, function: &str, arguments: &[u32]) -> Result<u32, Failure> {
        let worker = self.worker();
        worker.store.data_mut().active = arguments.first().copied();
        let Some(export) = worker.instance.get_func(&mut worker.store, function) else {
            panic!("the filter does not export {function}");
        };
        let arguments: Vec<Val> =
            arguments.iter().map(|number| Val::I32(number.cast_signed())).collect();
        let mut results = vec![Val::I32(0); export.ty(&worker.store).results().len()];
        worker.store.set_fuel(FUEL).expect("fuel is counted");
        match export.call(&mut worker.store, &arguments, &mut results) {
            Ok(()) => {
                worker.store.data_mut().active = None;
                Ok(results.first().and_then(Val::i32).unwrap_or_default().cast_unsigned())
            }
            Err(error) => {
                let mut state = self.worker.take().expect("it has just trapped").store.into_data();
                let words = String::from_utf8_lossy(&mem::take(&mut state.stderr)).into_owned();
                state.active = None;
                state.exchanges.clear();
                self.boot(state)?;
                Err(format!("{function} trapped: {error:?}\n{words}"))
            }
        }
    }
}
