// Made by ffi/rust/bindings.sh from runtime.h; do not edit.
use crate::*;

#[repr(C)]
#[derive(Debug)]
pub struct hrt_runtime {
    _unused: [u8; 0],
}
#[repr(C)]
#[derive(Debug)]
pub struct hrt_scan {
    _unused: [u8; 0],
}
#[repr(C)]
#[derive(Debug)]
pub struct hrt_replay {
    _unused: [u8; 0],
}
#[repr(C)]
#[derive(Debug)]
pub struct hrt_hindsight {
    _unused: [u8; 0],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct hrt_runtime_options {
    pub struct_size: u32,
    pub abi_version: u32,
    pub directory: *const ::core::ffi::c_char,
    pub segment_size: u32,
    pub segments_min: u32,
    pub segments_max: u32,
    pub segments_reserve: u32,
    pub async_ns: u64,
    pub lease_ns: u64,
    pub cancel_grace_ns: u64,
    pub jobs_max: u32,
    pub checkpoint_records: u32,
    pub checkpoint_ns: u64,
    pub snapshot: u32,
    pub reserved: u32,
    pub snapshot_bytes: u64,
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct hrt_recovery {
    pub segments: u64,
    pub bytes: u64,
    pub records: u64,
    pub jobs: u64,
    pub lost_leases: u64,
    pub duration_ns: u64,
    pub tail_position: u64,
    pub tail_bytes: u64,
    pub epoch: u64,
    pub created: u8,
    pub snapshot: u8,
    pub reserved: [u8; 6usize],
    pub snapshot_position: u64,
}
#[repr(C)]
#[derive(Debug)]
pub struct hrt_standby {
    _unused: [u8; 0],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct hrt_grant {
    pub incarnation: u64,
    pub number: u32,
    pub submit_capacity: u32,
    pub pid: u32,
    pub reserved: u32,
    pub pool: [::core::ffi::c_char; 64usize],
    pub name: [::core::ffi::c_char; 64usize],
}
pub const HRT_GRANT_LANE: hrt_grant_fd = 0;
pub const HRT_GRANT_EVENT: hrt_grant_fd = 1;
pub const HRT_GRANT_FD_COUNT: hrt_grant_fd = 2;
pub type hrt_grant_fd = ::core::ffi::c_uint;
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct hrt_standby_info {
    pub position: u64,
    pub sequence: u64,
    pub jobs: u64,
    pub behind: u64,
    pub state_hash_at: u64,
    pub lanes: u32,
    pub restarts: u32,
    pub snapshots: u32,
    pub snapshot_failures: u32,
    pub snapshot_position: u64,
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct hrt_lane_info {
    pub incarnation: u64,
    pub number: u32,
    pub pid: u32,
    pub name: [::core::ffi::c_char; 64usize],
    pub pool: [::core::ffi::c_char; 64usize],
    pub language: [::core::ffi::c_char; 16usize],
    pub version: [::core::ffi::c_char; 32usize],
    pub concurrency: u32,
    pub credit: u32,
    pub outstanding: u32,
    pub started: u32,
    pub settled: u64,
    pub heartbeat_ns: u64,
    pub attached_ns: u64,
    pub kind_count: u32,
    pub kinds: [u16; 32usize],
    pub registered: u8,
    pub draining: u8,
    pub local: u8,
    pub reserved: [u8; 5usize],
}
pub const HRT_EVENT_ATTACHED: hrt_event_type = 1;
pub const HRT_EVENT_REGISTERED: hrt_event_type = 2;
pub const HRT_EVENT_DETACHED: hrt_event_type = 3;
pub const HRT_EVENT_DIED: hrt_event_type = 4;
pub const HRT_EVENT_FAULT: hrt_event_type = 5;
pub const HRT_EVENT_HUNG: hrt_event_type = 6;
pub const HRT_EVENT_KILL: hrt_event_type = 7;
pub const HRT_EVENT_DEAD: hrt_event_type = 8;
pub const HRT_EVENT_FAILED: hrt_event_type = 9;
pub const HRT_EVENT_SNAPSHOT: hrt_event_type = 10;
pub type hrt_event_type = ::core::ffi::c_uint;
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct hrt_event {
    pub type_: u32,
    pub code: i32,
    pub incarnation: u64,
    pub job: u64,
    pub value: u64,
    pub time_ns: u64,
    pub pid: u32,
    pub count: u32,
    pub text: [::core::ffi::c_char; 128usize],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct hrt_job_info {
    pub id: u64,
    pub token: u64,
    pub parent: u64,
    pub client: u64,
    pub enqueued_ns: u64,
    pub due_ns: u64,
    pub expires_ns: u64,
    pub settled_ns: u64,
    pub key_hash: u64,
    pub timeout_ms: u32,
    pub result_ttl_ms: u32,
    pub payload_length: u32,
    pub result_length: u32,
    pub saved_length: u32,
    pub progress: u32,
    pub kind: u16,
    pub queue: u16,
    pub attempt: u16,
    pub max_attempts: u16,
    pub meta_length: u16,
    pub error_length: u16,
    pub key_length: u8,
    pub crashes: u8,
    pub max_crashes: u8,
    pub state: u8,
    pub outcome: u8,
    pub cause: u8,
    pub blocked: u8,
    pub suspect: u8,
    pub note: [::core::ffi::c_char; 256usize],
}
pub const HRT_PART_PAYLOAD: hrt_job_part = 1;
pub const HRT_PART_KEY: hrt_job_part = 2;
pub const HRT_PART_META: hrt_job_part = 3;
pub const HRT_PART_ERROR: hrt_job_part = 4;
pub const HRT_PART_RESULT: hrt_job_part = 5;
pub const HRT_PART_TRACE: hrt_job_part = 6;
pub const HRT_PART_SAVED: hrt_job_part = 7;
pub type hrt_job_part = ::core::ffi::c_uint;
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct hrt_job_filter {
    pub after: u64,
    pub states: u32,
    pub queue: i32,
    pub kind: i32,
    pub reserved: u32,
    pub key_hash: u64,
}
pub const HRT_DAMAGE_NONE: hrt_damage = 0;
pub const HRT_DAMAGE_TORN: hrt_damage = 1;
pub const HRT_DAMAGE_COMMITTED: hrt_damage = 2;
pub const HRT_DAMAGE_MISSING: hrt_damage = 3;
pub const HRT_DAMAGE_HEADER: hrt_damage = 4;
pub const HRT_DAMAGE_FOREIGN: hrt_damage = 5;
pub const HRT_DAMAGE_VERSION: hrt_damage = 6;
pub type hrt_damage = ::core::ffi::c_uint;
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct hrt_damage_report {
    pub damage: u32,
    pub slot: u32,
    pub position: u64,
    pub sequence: u64,
    pub bytes: u64,
    pub text: [::core::ffi::c_char; 256usize],
}
pub const HRT_LEAF_VERSION: _bindgen_ty_1 = 1;
pub const HRT_LEAF_ENTRY: _bindgen_ty_1 = 96;
pub const HRT_LEAF_ITEM: _bindgen_ty_1 = 98;
pub const HRT_LEAF_HASH: _bindgen_ty_1 = 32;
pub type _bindgen_ty_1 = ::core::ffi::c_uint;
pub const HRT_RUN_MORE: hrt_run_end = 0;
pub const HRT_RUN_BAD: hrt_run_end = 1;
pub const HRT_RUN_PAD: hrt_run_end = 2;
pub type hrt_run_end = ::core::ffi::c_uint;
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct hrt_run {
    pub uuid: [u8; 16usize],
    pub position: u64,
    pub sequence: u64,
    pub durable: u64,
    pub records: u64,
    pub group_position: u64,
    pub group_sequence: u64,
    pub first_sequence: u64,
    pub first_time_ns: u64,
    pub last_time_ns: u64,
    pub epoch: u32,
    pub end: u32,
}
unsafe extern "C" {
    pub fn hrt_runtime_open(
        options: *const hrt_runtime_options,
        runtime_out: *mut *mut hrt_runtime,
    ) -> ::core::ffi::c_int;
    pub fn hrt_runtime_recovery(runtime: *const hrt_runtime, recovery_out: *mut hrt_recovery);
    pub fn hrt_runtime_run(runtime: *mut hrt_runtime) -> ::core::ffi::c_int;
    pub fn hrt_runtime_stop(runtime: *mut hrt_runtime);
    pub fn hrt_runtime_close(runtime: *mut hrt_runtime);
    pub fn hrt_runtime_page(runtime: *const hrt_runtime) -> *const hrt_page;
    pub fn hrt_runtime_page_fd(
        runtime: *const hrt_runtime,
        fd_out: *mut ::core::ffi::c_int,
    ) -> ::core::ffi::c_int;
    pub fn hrt_runtime_grant(
        runtime: *mut hrt_runtime,
        incarnation: u64,
        grant_out: *mut hrt_grant,
        fds_out: *mut ::core::ffi::c_int,
    ) -> ::core::ffi::c_int;
    pub fn hrt_runtime_standby(runtime: *mut hrt_runtime, present: ::core::ffi::c_int);
    pub fn hrt_keep_memory(pid_out: *mut ::core::ffi::c_int) -> ::core::ffi::c_int;
    pub fn hrt_runtime_release(runtime: *mut hrt_runtime) -> ::core::ffi::c_int;
    pub fn hrt_standby_open(
        options: *const hrt_runtime_options,
        page_fd: ::core::ffi::c_int,
        standby_out: *mut *mut hrt_standby,
    ) -> ::core::ffi::c_int;
    pub fn hrt_standby_grant(
        standby: *mut hrt_standby,
        grant: *const hrt_grant,
        fds: *const ::core::ffi::c_int,
    ) -> ::core::ffi::c_int;
    pub fn hrt_standby_forget(standby: *mut hrt_standby, incarnation: u64);
    pub fn hrt_standby_run(standby: *mut hrt_standby) -> ::core::ffi::c_int;
    pub fn hrt_standby_stop(standby: *mut hrt_standby);
    pub fn hrt_standby_status(standby: *mut hrt_standby, info_out: *mut hrt_standby_info);
    pub fn hrt_standby_take_over(
        standby: *mut hrt_standby,
        timeout_ns: i64,
        runtime_out: *mut *mut hrt_runtime,
    ) -> ::core::ffi::c_int;
    pub fn hrt_standby_close(standby: *mut hrt_standby);
    pub fn hrt_runtime_kind(
        runtime: *mut hrt_runtime,
        name: *const ::core::ffi::c_char,
        kind_out: *mut u16,
    ) -> ::core::ffi::c_int;
    pub fn hrt_runtime_queue(
        runtime: *mut hrt_runtime,
        settings: *const hrt_queue_settings,
        queue_out: *mut u16,
    ) -> ::core::ffi::c_int;
    pub fn hrt_runtime_pause(
        runtime: *mut hrt_runtime,
        queue: u16,
        paused: ::core::ffi::c_int,
    ) -> ::core::ffi::c_int;
    pub fn hrt_runtime_client(
        runtime: *mut hrt_runtime,
        client_out: *mut *mut hrt_client,
    ) -> ::core::ffi::c_int;
    pub fn hrt_runtime_lane(
        runtime: *mut hrt_runtime,
        submit_capacity: u32,
        pid: u32,
        pool: *const ::core::ffi::c_char,
        name: *const ::core::ffi::c_char,
        fds_out: *mut ::core::ffi::c_int,
        incarnation_out: *mut u64,
    ) -> ::core::ffi::c_int;
    pub fn hrt_runtime_lane_pid(
        runtime: *mut hrt_runtime,
        incarnation: u64,
        pid: u32,
    ) -> ::core::ffi::c_int;
    pub fn hrt_runtime_admit(
        runtime: *mut hrt_runtime,
        hello: *const ::core::ffi::c_void,
        hello_length: usize,
        pid: u32,
        uid: u32,
        welcome_out: *mut hrt_welcome,
        fds_out: *mut ::core::ffi::c_int,
    ) -> ::core::ffi::c_int;
    pub fn hrt_runtime_drain(runtime: *mut hrt_runtime, incarnation: u64) -> ::core::ffi::c_int;
    pub fn hrt_runtime_pardon(runtime: *mut hrt_runtime, incarnation: u64) -> ::core::ffi::c_int;
    pub fn hrt_runtime_lane_gone(
        runtime: *mut hrt_runtime,
        incarnation: u64,
        counted: ::core::ffi::c_int,
    ) -> ::core::ffi::c_int;
    pub fn hrt_runtime_refuse(runtime: *mut hrt_runtime, refuse: ::core::ffi::c_int);
    pub fn hrt_runtime_lanes(
        runtime: *mut hrt_runtime,
        lanes_out: *mut hrt_lane_info,
        max: u32,
        count_out: *mut u32,
    ) -> ::core::ffi::c_int;
    pub fn hrt_runtime_event_fd(runtime: *const hrt_runtime) -> ::core::ffi::c_int;
    pub fn hrt_runtime_events(
        runtime: *mut hrt_runtime,
        events_out: *mut hrt_event,
        max: u32,
        count_out: *mut u32,
    ) -> ::core::ffi::c_int;
    pub fn hrt_runtime_job(
        runtime: *mut hrt_runtime,
        job: u64,
        info_out: *mut hrt_job_info,
    ) -> ::core::ffi::c_int;
    pub fn hrt_runtime_job_part(
        runtime: *mut hrt_runtime,
        job: u64,
        part: u32,
        buffer: *mut ::core::ffi::c_void,
        size: usize,
        length_out: *mut usize,
    ) -> ::core::ffi::c_int;
    pub fn hrt_runtime_jobs(
        runtime: *mut hrt_runtime,
        filter: *const hrt_job_filter,
        infos_out: *mut hrt_job_info,
        max: u32,
        count_out: *mut u32,
        next_out: *mut u64,
    ) -> ::core::ffi::c_int;
    pub fn hrt_key_hash(key: *const ::core::ffi::c_void, length: usize) -> u64;
    pub fn hrt_runtime_cancel(runtime: *mut hrt_runtime, job: u64) -> ::core::ffi::c_int;
    pub fn hrt_runtime_retry(runtime: *mut hrt_runtime, job: u64) -> ::core::ffi::c_int;
    pub fn hrt_runtime_discard(runtime: *mut hrt_runtime, job: u64) -> ::core::ffi::c_int;
    pub fn hrt_runtime_state_hash(runtime: *mut hrt_runtime) -> u64;
    pub fn hrt_runtime_sync(runtime: *mut hrt_runtime, timeout_ns: i64) -> ::core::ffi::c_int;
    pub fn hrt_runtime_hold(runtime: *mut hrt_runtime, segment: u64);
    pub fn hrt_scan_open(
        directory: *const ::core::ffi::c_char,
        scan_out: *mut *mut hrt_scan,
    ) -> ::core::ffi::c_int;
    pub fn hrt_scan_seek(scan: *mut hrt_scan, segment: u64) -> ::core::ffi::c_int;
    pub fn hrt_scan_next(
        scan: *mut hrt_scan,
        record_out: *mut *const hrt_record,
    ) -> ::core::ffi::c_int;
    pub fn hrt_scan_report(scan: *const hrt_scan, report_out: *mut hrt_damage_report);
    pub fn hrt_scan_close(scan: *mut hrt_scan);
    pub fn hrt_scan_leaves(
        scan: *mut hrt_scan,
        items_out: *mut u8,
        hashes_out: *mut u8,
        max: u32,
        count_out: *mut u32,
        durable_out: *mut u64,
    ) -> ::core::ffi::c_int;
    pub fn hrt_tree_root(hashes: *const u8, count: u32, root_out: *mut u8) -> ::core::ffi::c_int;
    pub fn hrt_replay_new(replay_out: *mut *mut hrt_replay) -> ::core::ffi::c_int;
    pub fn hrt_replay_apply(
        replay: *mut hrt_replay,
        record: *const ::core::ffi::c_void,
        length: usize,
    ) -> ::core::ffi::c_int;
    pub fn hrt_replay_hash(replay: *const hrt_replay) -> u64;
    pub fn hrt_replay_jobs(replay: *const hrt_replay) -> u64;
    pub fn hrt_replay_list(
        replay: *const hrt_replay,
        after: u64,
        infos_out: *mut hrt_job_info,
        max: u32,
        count_out: *mut u32,
        next_out: *mut u64,
    ) -> ::core::ffi::c_int;
    pub fn hrt_replay_page(replay: *const hrt_replay) -> *const hrt_page;
    pub fn hrt_replay_job(
        replay: *const hrt_replay,
        job: u64,
        info_out: *mut hrt_job_info,
    ) -> ::core::ffi::c_int;
    pub fn hrt_replay_free(replay: *mut hrt_replay);
    pub fn hrt_hindsight_new(
        replay: *mut hrt_replay,
        hindsight_out: *mut *mut hrt_hindsight,
    ) -> ::core::ffi::c_int;
    pub fn hrt_hindsight_ask(
        hindsight: *mut hrt_hindsight,
        record: *const ::core::ffi::c_void,
        length: usize,
        answer_out: *mut u64,
        max: u32,
        count_out: *mut u32,
    ) -> ::core::ffi::c_int;
    pub fn hrt_hindsight_free(hindsight: *mut hrt_hindsight);
    pub fn hrt_run_check(run: *mut hrt_run, bytes: *const ::core::ffi::c_void, length: usize);
    pub fn hrt_run_find(
        run: *const hrt_run,
        position: u64,
        bytes: *const ::core::ffi::c_void,
        length: usize,
        offset_out: *mut usize,
    ) -> ::core::ffi::c_int;
    pub fn hrt_run_seal(
        uuid: *const u8,
        bytes: *mut ::core::ffi::c_void,
        length: usize,
    ) -> ::core::ffi::c_int;
    pub fn hrt_failpoint(
        name: *const ::core::ffi::c_char,
        action: *const ::core::ffi::c_char,
        after: u64,
    ) -> ::core::ffi::c_int;
    pub fn hrt_failpoints(buffer: *mut ::core::ffi::c_char, size: usize) -> usize;
}
