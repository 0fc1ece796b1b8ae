//! The contexts of a worker: its configurations, and the requests that are under way.

use super::root::Root;
use super::stream::Request;
use crate::host::{Action, Contexts, export};
use crate::observe::log;
use hashbrown::HashMap;
use std::cell::RefCell;
use std::hash::{BuildHasherDefault, Hasher};

/// The hash of a context's number: gateways count contexts up, so that it need only be spread.
#[derive(Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32(u32::from(*byte));
        }
    }

    /// Multiplicative hashing (Knuth, The Art of Computer Programming 3, 6.4), with 2^64 divided by
    /// the golden ratio.
    fn write_u32(&mut self, number: u32) {
        self.0 = (self.0 ^ u64::from(number)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
    }
}

type Table<T> = RefCell<HashMap<u32, T, BuildHasherDefault<Spread>>>;

const fn table<T>() -> Table<T> {
    RefCell::new(HashMap::with_hasher(BuildHasherDefault::new()))
}

thread_local! {
    static ROOTS: Table<Root> = const { table() };
    /// Boxed: what is moved into a table is copied several times on the way.
    static REQUESTS: Table<Box<Request>> = const { table() };
}

/// The filter, as the gateway calls it.
struct Filter;

export!(Filter);

/// Does something with a context, if there is one of this number, and says what came of it.
fn with<T, R: Default>(
    table: &'static std::thread::LocalKey<Table<T>>,
    id: u32,
    act: impl FnOnce(&mut T) -> R,
) -> R {
    table.with_borrow_mut(|table| table.get_mut(&id).map_or_else(R::default, act))
}

impl Contexts for Filter {
    fn load() {
        log::install();
    }

    fn create(id: u32, parent: u32) {
        if parent == 0 {
            let root = Root::new(id);
            ROOTS.with_borrow_mut(|roots| roots.insert(id, root));
        } else if let Some(request) = with(&ROOTS, parent, |root| Some(root.request())) {
            REQUESTS.with_borrow_mut(|requests| requests.insert(id, Box::new(request)));
        }
    }

    fn configure(id: u32, size: usize) -> bool {
        with(&ROOTS, id, |root| root.configure(size))
    }

    fn tick(id: u32) {
        with(&ROOTS, id, Root::tick);
    }

    fn request_headers(id: u32, is_all: bool) -> Action {
        with(&REQUESTS, id, |request| match &mut **request {
            Request::Decided(stream) => stream.request_headers(is_all),
            Request::Undecided(broken) => {
                broken.request_headers();
                Action::Continue
            }
        })
    }

    fn request_body(id: u32, size: usize, is_all: bool) -> Action {
        with(&REQUESTS, id, |request| match &mut **request {
            Request::Decided(stream) => stream.request_body(size, is_all),
            Request::Undecided(_) => Action::Continue,
        })
    }

    fn request_trailers(id: u32) -> Action {
        with(&REQUESTS, id, |request| {
            if let Request::Decided(stream) = &mut **request {
                stream.request_trailers();
            }
        });
        Action::Continue
    }

    fn response_headers(id: u32) -> Action {
        with(&REQUESTS, id, |request| match &mut **request {
            Request::Decided(stream) => stream.response_headers(),
            Request::Undecided(broken) => broken.response_headers(),
        });
        Action::Continue
    }

    fn response_trailers(id: u32) -> Action {
        with(&REQUESTS, id, |request| {
            if let Request::Decided(stream) = &mut **request {
                stream.response_trailers();
            }
        });
        Action::Continue
    }

    fn log(id: u32) {
        with(&REQUESTS, id, |request| {
            if let Request::Decided(stream) = &mut **request {
                stream.log();
            }
        });
    }

    fn delete(id: u32) {
        let was_request = REQUESTS.with_borrow_mut(|requests| requests.remove(&id).is_some());
        if !was_request {
            // What it has in the metrics goes with it, which asks for nothing of the table.
            ROOTS.with_borrow_mut(|roots| roots.remove(&id));
        }
    }
}
