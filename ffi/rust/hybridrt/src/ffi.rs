//! The only module that calls the C library: what leaves it is safe to use.
//!
//! Rules of `hybridrt.h` that the SAFETY comments lean on:
//! - THREADS: every function may be called from any thread; `hrt_detach` is the last call.
//! - COPIED: arguments are copied before a function returns; nothing of ours is kept.
//! - LEASED: a pointer inside `hrt_job` stays valid until the job is settled, or the client
//!   detaches.
//! - FILLED: out-parameters are written on success, and `count_out` items of an array.

use std::ffi::{CStr, CString, c_char, c_int};
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::ptr::{NonNull, null};
use std::slice;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hybridrt_sys as sys;

use crate::batch::Batch;
use crate::error::Error;
use crate::options::Options;
use crate::outcome::nanoseconds;
use crate::trace::TraceContext;

const NOTICES_MAX: usize = 64;
const SENTENCE_MAX: usize = 1024;

/// An attached client. Dropping it detaches.
pub(crate) struct Handle(NonNull<sys::hrt_client>);

// SAFETY: THREADS.
unsafe impl Send for Handle {}
// SAFETY: THREADS.
unsafe impl Sync for Handle {}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: the handle is owned, so nobody calls anything after this.
        unsafe { sys::hrt_detach(self.0.as_ptr()) }
    }
}

/// Joins a runtime; see `hrt_attach` for what is tried without an address.
pub(crate) fn attach(
    address: Option<&CStr>,
    name: Option<&CStr>,
    timeout: Duration,
    submit_capacity: u32,
) -> Result<Handle, Error> {
    let options = sys::hrt_attach_options {
        struct_size: size_of::<sys::hrt_attach_options>() as u32,
        abi_version: sys::HRT_ABI_VERSION,
        address: address.map_or(null(), CStr::as_ptr),
        name: name.map_or(null(), CStr::as_ptr),
        timeout_ns: limit(Some(timeout)),
        submit_capacity,
        reserved: 0,
    };
    let mut client = std::ptr::null_mut();
    // SAFETY: COPIED; the options live through the call.
    check(unsafe { sys::hrt_attach(&options, &mut client) })?;
    NonNull::new(client)
        .map(Handle)
        .ok_or_else(|| Error::new(sys::HRT_ESYSTEM, "no client"))
}

impl Handle {
    fn raw(&self) -> *mut sys::hrt_client {
        self.0.as_ptr()
    }

    pub fn incarnation(&self) -> u64 {
        // SAFETY: THREADS.
        unsafe { sys::hrt_incarnation(self.raw()) }
    }

    pub fn kind(&self, name: &str) -> Result<u16, Error> {
        let mut kind = 0;
        // SAFETY: COPIED; pointer and length are of one str.
        check(unsafe { sys::hrt_kind(self.raw(), name.as_ptr().cast(), name.len(), &mut kind) })?;
        Ok(kind)
    }

    pub fn queue(&self, name: &str) -> Result<u16, Error> {
        let mut queue = 0;
        // SAFETY: COPIED; pointer and length are of one str.
        check(unsafe { sys::hrt_queue(self.raw(), name.as_ptr().cast(), name.len(), &mut queue) })?;
        Ok(queue)
    }

    pub fn kind_name(&self, kind: u16) -> &str {
        // SAFETY: the name is zero-terminated and valid until detach, which a borrow rules out.
        unsafe { text(sys::hrt_kind_name(self.raw(), kind)) }
    }

    pub fn queue_name(&self, queue: u16) -> &str {
        // SAFETY: as kind_name.
        unsafe { text(sys::hrt_queue_name(self.raw(), queue)) }
    }

    /// Enqueues, waits, and fills `ids` with an id or a negative status for each spec.
    pub fn enqueue(
        &self,
        specs: &[Spec<'_>],
        timeout: Duration,
        ids: &mut Vec<i64>,
    ) -> Result<(), Error> {
        ids.clear();
        ids.resize(specs.len(), 0);
        // SAFETY: COPIED; Spec is a transparent hrt_spec whose borrowed bytes live through the
        // call; ids has one place for each.
        check(unsafe {
            sys::hrt_enqueue_wait(
                self.raw(),
                specs.as_ptr().cast(),
                specs.len() as u32,
                limit(Some(timeout)),
                ids.as_mut_ptr(),
            )
        })
    }

    pub fn register(&self, kinds: &[CString], work: &Registration<'_>) -> Result<(), Error> {
        let names: Vec<*const c_char> = kinds.iter().map(|name| name.as_ptr()).collect();
        let options = sys::hrt_register_options {
            kinds: names.as_ptr(),
            pool: null(),
            language: c"rust".as_ptr(),
            version: work.version.as_ptr(),
            kind_count: names.len() as u32,
            concurrency: work.concurrency,
            credit: work.credit,
            reserved: 0,
        };
        // SAFETY: COPIED; names and options live through the call.
        check(unsafe { sys::hrt_register(self.raw(), &options) })
    }

    /// Appends up to `max` leased jobs to `jobs`, waiting for the first.
    pub fn fetch<'c>(
        &'c self,
        jobs: &mut Vec<Leased<'c>>,
        max: usize,
        timeout: Option<Duration>,
    ) -> Result<(), Error> {
        jobs.reserve(max);
        let space = jobs.spare_capacity_mut();
        let mut count = 0;
        // SAFETY: FILLED; Leased is a transparent hrt_job and there is space for max of them.
        check(unsafe {
            sys::hrt_fetch(
                self.raw(),
                space.as_mut_ptr().cast(),
                max as u32,
                limit(timeout),
                &mut count,
            )
        })?;
        // SAFETY: FILLED; count is at most max.
        unsafe { jobs.set_len(jobs.len() + count as usize) };
        Ok(())
    }

    /// Bytes that one settle with its follow-up jobs may need.
    pub fn unit_max(&self) -> usize {
        // SAFETY: THREADS.
        unsafe { sys::hrt_unit_max(self.raw()) as usize }
    }

    pub fn extend(&self, job: u64, token: u64, more: Duration) -> Result<(), Error> {
        // SAFETY: THREADS.
        check(unsafe { sys::hrt_extend(self.raw(), job, token, nanoseconds(more)) })
    }

    pub fn save(&self, job: u64, token: u64, state: &[u8]) -> Result<(), Error> {
        // SAFETY: HANDLE; the bytes are copied before the function returns.
        check(unsafe { sys::hrt_save(self.raw(), job, token, state.as_ptr().cast(), state.len()) })
    }

    pub fn progress(&self, job: u64, token: u64, permille: u32, note: &str) -> Result<(), Error> {
        let note = note.as_bytes();
        // SAFETY: COPIED; pointer and length are of one str.
        check(unsafe {
            sys::hrt_progress(
                self.raw(),
                job,
                token,
                permille,
                note.as_ptr().cast(),
                note.len(),
            )
        })
    }

    pub fn watch(&self, job: u64) -> Result<(), Error> {
        // SAFETY: THREADS.
        check(unsafe { sys::hrt_watch(self.raw(), job) })
    }

    pub fn cancel(&self, job: u64) -> Result<(), Error> {
        // SAFETY: THREADS.
        check(unsafe { sys::hrt_cancel(self.raw(), job) })
    }

    /// Appends what came to `notices`, waiting for the first. A timeout of zero never waits.
    pub fn poll(&self, notices: &mut Vec<Notice>, timeout: Option<Duration>) -> Result<(), Error> {
        let mut raw = [const { MaybeUninit::<sys::hrt_notice>::uninit() }; NOTICES_MAX];
        let mut count = 0;
        // SAFETY: FILLED; there is space for NOTICES_MAX.
        check(unsafe {
            sys::hrt_poll(
                self.raw(),
                raw.as_mut_ptr().cast(),
                NOTICES_MAX as u32,
                limit(timeout),
                &mut count,
            )
        })?;
        for notice in &mut raw[..count as usize] {
            // SAFETY: FILLED: the first count ones are written.
            notices.push(take(unsafe { notice.assume_init_mut() }));
        }
        Ok(())
    }

    /// Makes one blocked fetch or poll of this client return.
    pub fn interrupt(&self) {
        // SAFETY: THREADS.
        unsafe { sys::hrt_interrupt(self.raw()) }
    }

    pub fn is_draining(&self) -> bool {
        // SAFETY: THREADS.
        unsafe { sys::hrt_draining(self.raw()) != 0 }
    }
}

/// What a worker tells about itself.
pub(crate) struct Registration<'a> {
    pub version: &'a CStr,
    pub concurrency: u32,
    pub credit: u32,
}

/// One new job, in the layout of the C library, with its bytes borrowed.
#[repr(transparent)]
pub(crate) struct Spec<'a>(sys::hrt_spec, PhantomData<&'a [u8]>);

impl<'a> Spec<'a> {
    pub fn new(
        options: &Options,
        payload: &'a [u8],
        key: &'a [u8],
        meta: &'a [u8],
        trace: Option<&'a TraceContext>,
    ) -> Self {
        let mut spec = plain(options);
        spec.payload = start(payload);
        spec.payload_length = payload.len() as u32;
        spec.key = start(key);
        spec.key_length = key.len() as u8;
        spec.meta = start(meta);
        spec.meta_length = meta.len() as u16;
        spec.trace = trace.map_or(null(), |trace| trace.as_bytes().as_ptr());
        Self(spec, PhantomData)
    }
}

fn start<T>(bytes: &[u8]) -> *const T {
    if bytes.is_empty() {
        null()
    } else {
        bytes.as_ptr().cast()
    }
}

fn plain(options: &Options) -> sys::hrt_spec {
    sys::hrt_spec {
        payload: null(),
        key: null(),
        meta: null(),
        trace: null(),
        delay_ns: options.delay_ns,
        due_ns: options.due_ns,
        payload_length: 0,
        timeout_ms: options.timeout_ms,
        result_ttl_ms: options.result_ttl_ms,
        expires_ms: options.expires_ms,
        kind: options.kind,
        queue: options.queue,
        meta_length: 0,
        max_attempts: options.max_attempts,
        key_length: 0,
        max_crashes: options.max_crashes,
        block: options.block.into(),
        reserved: [0; 5],
    }
}

/// A job that this client holds, not settled yet. To settle it is to give it away, so what it lends
/// cannot outlive the lease.
#[repr(transparent)]
pub(crate) struct Leased<'c>(sys::hrt_job, PhantomData<&'c Handle>);

// SAFETY: LEASED names no thread; what the pointers reach is only read, but for `started`, which is
// stored to atomically.
unsafe impl Send for Leased<'_> {}
// SAFETY: as Send.
unsafe impl Sync for Leased<'_> {}

impl Leased<'_> {
    pub fn fields(&self) -> &sys::hrt_job {
        &self.0
    }

    pub fn payload(&self) -> &[u8] {
        // SAFETY: LEASED.
        unsafe { bytes(self.0.payload, self.0.payload_length as usize) }
    }

    pub fn key(&self) -> &[u8] {
        // SAFETY: LEASED.
        unsafe { bytes(self.0.key, self.0.key_length.into()) }
    }

    pub fn meta(&self) -> &[u8] {
        // SAFETY: LEASED.
        unsafe { bytes(self.0.meta, self.0.meta_length.into()) }
    }

    pub fn saved(&self) -> &[u8] {
        // SAFETY: LEASED.
        unsafe { bytes(self.0.saved, self.0.saved_length as usize) }
    }

    pub fn trace(&self) -> Option<TraceContext> {
        let trace = NonNull::new(self.0.trace.cast_mut())?;
        // SAFETY: LEASED; a trace has HRT_TRACE_SIZE bytes.
        Some(TraceContext::from_bytes(unsafe { trace.cast().read() }))
    }

    /// Id and token, for the end of the attempt. From here on the job's bytes may vanish.
    pub fn give_away(self) -> (u64, u64) {
        (self.0.id, self.0.token)
    }

    /// Says that the handler begins: from here on a crash of this process counts.
    pub fn begin(&self) {
        // SAFETY: LEASED; `started` is 8-byte aligned and written by this process only, always
        // through this store. Release: pairs with the runtime's acquire load.
        unsafe { AtomicU64::from_ptr(self.0.started).store(self.0.id, Ordering::Release) }
    }
}

/// # Safety
///
/// `data` has to be valid for `length` bytes while the result is borrowed, unless length is 0.
unsafe fn bytes<'a>(data: *const u8, length: usize) -> &'a [u8] {
    if length == 0 || data.is_null() {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { slice::from_raw_parts(data, length) }
}

/// # Safety
///
/// `name` is null or zero-terminated and valid while the result is borrowed.
unsafe fn text<'a>(name: *const c_char) -> &'a str {
    if name.is_null() {
        return "";
    }
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(name) }.to_str().unwrap_or_default()
}

/// Something the runtime told this client.
#[derive(Debug)]
pub(crate) struct Notice {
    pub kind: u32,
    pub job: u64,
    pub token: u64,
    pub code: i32,
    pub data: Vec<u8>,
}

fn take(raw: &mut sys::hrt_notice) -> Notice {
    // SAFETY: `data` is null or a copy of data_length bytes that belongs to us until it is freed.
    let data = unsafe { bytes(raw.data, raw.data_length as usize) }.to_vec();
    let notice = Notice {
        kind: raw.type_,
        job: raw.job,
        token: raw.token,
        code: raw.code,
        data,
    };
    // SAFETY: nothing borrows its data any more.
    unsafe { sys::hrt_notice_free(raw) };
    notice
}

/// Room for the C form of a batch, used again and again.
#[derive(Default)]
pub(crate) struct Settler {
    settlements: Vec<sys::hrt_settlement>,
    follows: Vec<sys::hrt_spec>,
}

impl Settler {
    /// Publishes a batch in one call.
    pub fn settle(&mut self, handle: &Handle, batch: &Batch) -> Result<(), Error> {
        self.follows.clear();
        self.follows.extend(batch.follows().map(|(options, parts)| {
            let mut spec = plain(options);
            spec.payload = start(parts.payload);
            spec.payload_length = parts.payload.len() as u32;
            spec.key = start(parts.key);
            spec.key_length = parts.key.len() as u8;
            spec.meta = start(parts.meta);
            spec.meta_length = parts.meta.len() as u16;
            spec.trace = start(parts.trace);
            spec
        }));
        self.settlements.clear();
        for entry in batch.entries() {
            let data = batch.bytes(entry.data.clone());
            self.settlements.push(sys::hrt_settlement {
                job: entry.job,
                token: entry.token,
                data: start(data),
                follow: self.first_follow(&entry.follows),
                delay_ns: entry.delay_ns,
                data_length: data.len() as u32,
                follow_count: entry.follows.len() as u32,
                outcome: entry.outcome,
                reserved: [0; 7],
            });
        }
        let count = self.settlements.len() as u32;
        // SAFETY: COPIED; all pointers are into self and batch, which live through the call.
        check(unsafe { sys::hrt_settle(handle.raw(), self.settlements.as_ptr(), count) })
    }

    fn first_follow(&self, follows: &Range<usize>) -> *const sys::hrt_spec {
        self.follows
            .get(follows.clone())
            .map_or(null(), <[_]>::as_ptr)
    }
}

// SAFETY: the pointers inside are only meant between filling them and the call that reads them,
// both within one call of `settle`.
unsafe impl Send for Settler {}

/// CLOCK_MONOTONIC, as deadlines use it.
pub(crate) fn monotonic_ns() -> u64 {
    // SAFETY: no arguments.
    unsafe { sys::hrt_monotonic_ns() }
}

/// Place of a value in the library's histograms.
pub(crate) fn histogram_bucket(value_ns: u64) -> u32 {
    // SAFETY: plain values.
    unsafe { sys::hrt_histogram_bucket(value_ns) }
}

/// Version of the linked C library.
pub(crate) fn version() -> &'static str {
    // SAFETY: a constant of the library.
    unsafe { text(sys::hrt_version()) }
}

/// The error that belongs to a status which came without a sentence.
pub(crate) fn plain_error(status: i32) -> Error {
    // SAFETY: a constant of the library for each status.
    Error::new(status, unsafe { text(sys::hrt_strerror(status)) })
}

fn check(status: c_int) -> Result<(), Error> {
    if status == sys::HRT_OK {
        return Ok(());
    }
    if status == sys::HRT_EAGAIN {
        // The usual answer of waiting: not worth a sentence.
        return Err(plain_error(status));
    }
    let mut buffer = [0u8; SENTENCE_MAX];
    // SAFETY: at most SENTENCE_MAX bytes are written, the last one zero.
    unsafe { sys::hrt_last_error(buffer.as_mut_ptr().cast(), buffer.len()) };
    let sentence = CStr::from_bytes_until_nul(&buffer)
        .unwrap_or_default()
        .to_string_lossy();
    if sentence.is_empty() {
        return Err(plain_error(status));
    }
    Err(Error::new(status, sentence))
}

/// A timeout as the library takes it: negative without limit.
fn limit(timeout: Option<Duration>) -> i64 {
    timeout.map_or(-1, |timeout| {
        i64::try_from(timeout.as_nanos()).unwrap_or(i64::MAX)
    })
}
