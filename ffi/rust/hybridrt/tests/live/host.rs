//! A runtime inside the test's own process: a real log in a temporary folder, a real dispatch
//! thread, real lanes.

use std::ffi::CString;
use std::path::PathBuf;
use std::ptr::null_mut;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;

use hybridrt::{Client, WorkerBuilder};
use hybridrt_sys as sys;
use hybridrt_sys::runtime::*;

pub const KINDS: [&str; 2] = ["test.work", "test.follow"];

#[derive(Clone, Copy)]
struct Runtime(*mut hrt_runtime);

// SAFETY: runtime.h: every function may be called from any thread.
unsafe impl Send for Runtime {}
// SAFETY: as Send.
unsafe impl Sync for Runtime {}

impl Runtime {
    fn get(self) -> *mut hrt_runtime {
        self.0
    }
}

pub struct Host {
    runtime: Runtime,
    dispatch: Option<JoinHandle<i32>>,
    directory: PathBuf,
}

fn expect_ok(status: i32) {
    let mut text = [0u8; 512];
    // SAFETY: at most text.len() bytes are written.
    unsafe { sys::hrt_last_error(text.as_mut_ptr().cast(), text.len()) };
    assert_eq!(status, sys::HRT_OK, "{}", String::from_utf8_lossy(&text));
}

impl Host {
    pub fn start() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("hybridrt-live-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        let path = CString::new(directory.to_str().unwrap()).unwrap();
        let options = hrt_runtime_options {
            struct_size: size_of::<hrt_runtime_options>() as u32,
            abi_version: sys::HRT_ABI_VERSION,
            directory: path.as_ptr(),
            segment_size: 1 << 20,
            segments_min: 0,
            segments_max: 32,
            segments_reserve: 0,
            async_ns: 0,
            lease_ns: 0,
            cancel_grace_ns: 0,
            jobs_max: 0,
            checkpoint_records: 0,
            checkpoint_ns: 0,
            snapshot: 0,
            reserved: 0,
            snapshot_bytes: 0,
        };
        let mut raw = null_mut();
        // SAFETY: options and path live through the call.
        expect_ok(unsafe { hrt_runtime_open(&options, &mut raw) });
        let host = Self {
            runtime: Runtime(raw),
            dispatch: None,
            directory,
        };
        host.queue("default", 0);
        host.queue("narrow", 1);
        for kind in KINDS {
            host.kind(kind);
        }
        host.dispatching()
    }

    fn dispatching(mut self) -> Self {
        let runtime = self.runtime;
        // SAFETY: the runtime is closed after this thread has ended.
        self.dispatch = Some(std::thread::spawn(move || unsafe {
            hrt_runtime_run(runtime.get())
        }));
        self
    }

    fn queue(&self, name: &str, max_jobs: u32) {
        // SAFETY: plain data, for which zeros are valid.
        let mut settings: sys::hrt_queue_settings = unsafe { std::mem::zeroed() };
        for (place, byte) in settings.name.iter_mut().zip(name.bytes()) {
            *place = byte as _;
        }
        settings.weight = 1;
        settings.max_jobs = max_jobs;
        settings.retain_max = 1000;
        settings.retry_base_ms = 1;
        settings.retry_cap_ms = 5;
        settings.durability = sys::HRT_DURABILITY_MEMORY as u8;
        settings.max_attempts = 3;
        settings.result_ttl_ms = 60_000;
        settings.max_crashes = 3;
        let mut number = 0;
        // SAFETY: settings live through the call.
        expect_ok(unsafe { hrt_runtime_queue(self.runtime.get(), &settings, &mut number) });
    }

    fn kind(&self, name: &str) {
        let name = CString::new(name).unwrap();
        let mut number = 0;
        // SAFETY: the name lives through the call.
        expect_ok(unsafe { hrt_runtime_kind(self.runtime.get(), name.as_ptr(), &mut number) });
    }

    /// Attaches a client the way a spawned worker does.
    pub fn client(&self) -> Client {
        static ENVIRONMENT: Mutex<()> = Mutex::new(());
        let _guard = ENVIRONMENT
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        let mut fds = [0; sys::HRT_FD_COUNT as usize];
        let mut incarnation = 0;
        // SAFETY: there is space for HRT_FD_COUNT descriptors.
        expect_ok(unsafe {
            hrt_runtime_lane(
                self.runtime.get(),
                0,
                std::process::id(),
                c"pool".as_ptr(),
                c"test".as_ptr(),
                fds.as_mut_ptr(),
                &mut incarnation,
            )
        });
        let [lane, page, log, event] = fds;
        // SAFETY: all that reads or writes the environment in this program holds the lock.
        unsafe {
            std::env::set_var(
                "HYBRIDRT_ATTACH",
                format!("fds:{lane},{page},{log},{event}"),
            )
        };
        let client = Client::connect().expect("the lane was just made");
        assert_eq!(client.incarnation(), incarnation);
        client
    }

    pub fn worker(&self) -> WorkerBuilder {
        hybridrt::Worker::builder().client(self.client())
    }

    pub fn drain(&self, client: &Client) {
        // SAFETY: THREADS, see Runtime.
        expect_ok(unsafe { hrt_runtime_drain(self.runtime.get(), client.incarnation()) });
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // SAFETY: the dispatch thread has ended before the runtime is closed.
        unsafe { hrt_runtime_stop(self.runtime.get()) };
        let status = self.dispatch.take().map(JoinHandle::join);
        // SAFETY: as above; clients of tests are dropped before their host, or only dropped after.
        unsafe { hrt_runtime_close(self.runtime.get()) };
        let _ = std::fs::remove_dir_all(&self.directory);
        if !std::thread::panicking() {
            assert!(matches!(status, Some(Ok(sys::HRT_OK))));
        }
    }
}
