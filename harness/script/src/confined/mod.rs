//! Threads that scripts are loaded and run on. Whatever a script does there ends that thread at the most: the stack fits
//! the deepest value that the heap can hold, memory is looked at before it is taken, and a thread that does not end in its
//! time is left to itself, without a way to the bench.

mod memory;

use std::fmt;
use std::io;
use std::panic;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::thread;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit};

/// The stack that is asked for. Only what is used of it takes memory.
const STACK: usize = 8 << 30;
/// The least: no script runs in less.
const LEAST_STACK: usize = 16 << 20;
/// As a share of the address space, where that is limited: other threads need some, too.
const SHARE_OF_ADDRESSES: usize = 8;
/// Bytes of stack for one of the heap: what walks through nested values takes less than this share, for values as small
/// as a tuple of one.
const STACK_FOR_HEAP: usize = 8;

/// Bytes that the variables of one running unit may take.
const HEAP: usize = 1 << 30;

/// How often is looked at a thread that should have ended.
const LOOK: Duration = Duration::from_millis(100);
/// How long an operation of a script may go on after its deadline. Counted by looks, so that a machine that stands still
/// does not use it up.
pub(super) const GRACE: Duration = Duration::from_secs(5);
/// The same within the bench, which has deadlines of its own.
const GRACE_OF_BENCH: Duration = Duration::from_mins(1);

/// What a thread of a script may take, and what it was refused.
#[derive(Debug, Default)]
pub(super) struct Confined {
    memory: AtomicUsize,
    /// Where the stack begins, and how large it is.
    stack: (AtomicUsize, AtomicUsize),
    /// How many parts of it are at the session.
    lent: AtomicU32,
    abandoned: AtomicBool,
    refused_memory: AtomicUsize,
    refused_stack: AtomicBool,
    /// What a panic said and where, and whether it was in a call into the bench.
    panic: Mutex<Option<String>>,
    panicked_in_bench: AtomicBool,
}

/// Memory that there has to be for what a call of a script has others do. It is only looked for, and not touched.
const HEADROOM: usize = 64 << 20;

/// Why there is no result.
#[derive(Debug)]
pub(super) enum Lost {
    /// It wants more memory than it may have: so many bytes.
    Memory(usize),
    /// This machine has not even the memory that it may have: it was to have so many bytes.
    MachineMemory(usize),
    /// It calls itself, or has values in values, too deeply.
    Depth,
    /// It did not end so long after it should have.
    Late {
        after: Duration,
        /// In a call into the bench.
        in_bench: bool,
    },
    /// The interpreter can't do it, and does not know that.
    Panic(String),
    /// There is no thread for it.
    Thread(io::Error),
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory(bytes) => write!(
                f,
                "it wants {} MiB of memory, which is more than it may have",
                bytes >> 20
            ),
            Self::MachineMemory(bytes) => write!(
                f,
                "this machine has no memory left, where a script and its bench were to have {} MiB; look at the limit on memory \
                 (ulimit -v)",
                bytes.div_ceil(1 << 20)
            ),
            Self::Depth => f.write_str("values or calls are nested too deeply"),
            Self::Late { after, in_bench } => write!(
                f,
                "{} did not end within {} s after that, and was abandoned",
                if *in_bench {
                    "a call into the bench"
                } else {
                    "one operation of the script"
                },
                after.as_secs()
            ),
            Self::Panic(what) => write!(f, "the interpreter of scripts can't do that: {what}"),
            Self::Thread(error) => write!(
                f,
                "no thread can be started: {error}; look at the limits on memory (ulimit -v) and processes (ulimit -u)"
            ),
        }
    }
}

/// Runs `work` on a thread of its own, with so much memory. Once `is_over`, it has the time of `grace` left to end.
pub(super) fn run<T: Send + 'static>(
    memory: usize,
    grace: Duration,
    is_over: impl Fn() -> bool,
    work: impl FnOnce(&'static Confined) -> T + Send + 'static,
) -> Result<T, Lost> {
    let (done, ended) = mpsc::sync_channel(1);
    let confined = Confined::taken(memory);
    // Threads of the bench can't be stopped when there is no memory: the process ends, with all other devices' results.
    if Vec::<u8>::new().try_reserve_exact(HEADROOM).is_err() {
        confined.give_back();
        return Err(Lost::MachineMemory(HEADROOM));
    }
    let work = move || {
        let inside = memory::confine(confined);
        let result = work(confined);
        drop(inside);
        // Nobody waits when it was abandoned.
        let _ = done.send(result);
    };
    keep_panics();
    let thread = spawn(confined, work).map_err(Lost::Thread)?;
    let mut late = Duration::ZERO;
    loop {
        match ended.recv_timeout(LOOK) {
            Ok(result) => {
                // It has nothing left to do.
                let _ = thread.join();
                confined.give_back();
                return Ok(result);
            }
            Err(RecvTimeoutError::Disconnected) => {
                let _ = thread.join();
                let what = confined.panic();
                if confined.panicked_in_bench.load(SeqCst) {
                    panic::resume_unwind(Box::new(what));
                }
                return Err(Lost::Panic(what));
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
        if let Some(lost) = confined.refused() {
            confined.abandon();
            return Err(lost);
        }
        if is_over() {
            late += LOOK;
        }
        if late >= GRACE_OF_BENCH || (late >= grace && !confined.is_lent()) {
            confined.abandon();
            let in_bench = confined.is_lent();
            return Err(Lost::Late {
                after: late,
                in_bench,
            });
        }
    }
}

/// With the largest stack that is to be had.
fn spawn(
    confined: &'static Confined,
    work: impl FnOnce() + Send + 'static,
) -> io::Result<thread::JoinHandle<()>> {
    let name = thread::current().name().unwrap_or("script").to_owned();
    // Taken by the thread that comes to be.
    let work = Arc::new(Mutex::new(Some(work)));
    let mut size = largest_stack();
    loop {
        confined.stack.1.store(size, SeqCst);
        let work = work.clone();
        let run = move || {
            let work = work.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(work) = work {
                work();
            }
        };
        match thread::Builder::new()
            .name(name.clone())
            .stack_size(size)
            .spawn(run)
        {
            Err(_) if size / 2 >= LEAST_STACK => size /= 2,
            spawned => return spawned,
        }
    }
}

/// Keeps what panics on these threads say, instead of writing it over the live display.
fn keep_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| match memory::confined() {
            Some(confined) => confined.keep_panic(info.to_string().replace('\n', " ")),
            None => usual(info),
        }));
    });
}

fn largest_stack() -> usize {
    let limit = getrlimit(Resource::RLIMIT_AS).map_or(u64::MAX, |(soft, _)| soft);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    (limit / SHARE_OF_ADDRESSES).clamp(LEAST_STACK, STACK)
}

/// Those whose threads ended in order, to be used again. The others are the abandoned threads' for ever.
static UNUSED: Mutex<Vec<&'static Confined>> = Mutex::new(Vec::new());

impl Confined {
    fn taken(memory: usize) -> &'static Self {
        let mut unused = UNUSED.lock().unwrap_or_else(PoisonError::into_inner);
        let confined = unused.pop().unwrap_or_else(|| Box::leak(Box::default()));
        confined.memory.store(memory, SeqCst);
        confined
    }

    fn give_back(&'static self) {
        let mut unused = UNUSED.lock().unwrap_or_else(PoisonError::into_inner);
        unused.push(self);
    }

    /// Bytes that the interpreter's heap may have.
    pub(super) fn heap(&self) -> usize {
        (self.stack().1 / STACK_FOR_HEAP)
            .min(HEAP)
            .min(self.memory())
    }

    fn keep_panic(&self, what: String) {
        let mut panic = self.panic.lock().unwrap_or_else(PoisonError::into_inner);
        *panic = Some(what);
    }

    fn panic(&self) -> String {
        let mut panic = self.panic.lock().unwrap_or_else(PoisonError::into_inner);
        panic.take().unwrap_or_default()
    }

    fn memory(&self) -> usize {
        self.memory.load(SeqCst)
    }

    fn begin_stack(&self, at: usize) {
        self.stack.0.store(at, SeqCst);
    }

    fn stack(&self) -> (usize, usize) {
        (self.stack.0.load(SeqCst), self.stack.1.load(SeqCst))
    }

    fn refuse_memory(&self, bytes: usize) {
        self.refused_memory.store(bytes, SeqCst);
    }

    fn refuse_stack(&self) {
        self.refused_stack.store(true, SeqCst);
    }

    fn refused(&self) -> Option<Lost> {
        let bytes = self.refused_memory.load(SeqCst);
        if bytes > self.memory() {
            return Some(Lost::Memory(bytes));
        }
        if bytes > 0 {
            return Some(Lost::MachineMemory(bytes));
        }
        self.refused_stack.load(SeqCst).then_some(Lost::Depth)
    }

    fn abandon(&self) {
        self.abandoned.store(true, SeqCst);
    }

    fn is_abandoned(&self) -> bool {
        self.abandoned.load(SeqCst)
    }

    fn is_lent(&self) -> bool {
        self.lent.load(SeqCst) > 0
    }

    /// While what is returned lives, the thread is at what others use too: it is not halted. Does not return once the
    /// thread was abandoned.
    pub(super) fn lend(&'static self) -> Lent {
        self.lent.fetch_add(1, SeqCst);
        let lent = Lent(self);
        if self.is_abandoned() {
            drop(lent);
            memory::halt();
        }
        lent
    }
}

/// See [`Confined::lend`].
#[derive(Debug)]
pub(super) struct Lent(&'static Confined);

impl Drop for Lent {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.panicked_in_bench.store(true, SeqCst);
        }
        self.0.lent.fetch_sub(1, SeqCst);
    }
}
