// Made by ffi/rust/bindings.sh from hybridrt.h; do not edit.

pub const HRT_ABI_VERSION: hrt_version_number = 2;
pub const HRT_FORMAT_VERSION: hrt_version_number = 2;
pub type hrt_version_number = ::core::ffi::c_uint;
pub const HRT_LINE: hrt_limit = 128;
pub const HRT_KIND_NAME_MAX: hrt_limit = 63;
pub const HRT_QUEUE_NAME_MAX: hrt_limit = 63;
pub const HRT_POOL_NAME_MAX: hrt_limit = 63;
pub const HRT_KEY_MAX: hrt_limit = 255;
pub const HRT_META_MAX: hrt_limit = 4096;
pub const HRT_PAYLOAD_MAX: hrt_limit = 262144;
pub const HRT_RESULT_MAX: hrt_limit = 65536;
pub const HRT_ERROR_MAX: hrt_limit = 4096;
pub const HRT_SAVED_MAX: hrt_limit = 65536;
pub const HRT_NOTE_MAX: hrt_limit = 255;
pub const HRT_KINDS_MAX: hrt_limit = 256;
pub const HRT_QUEUES_MAX: hrt_limit = 64;
pub const HRT_LANES_MAX: hrt_limit = 120;
pub const HRT_CREDIT_MAX: hrt_limit = 4096;
pub const HRT_FOLLOW_MAX: hrt_limit = 65535;
pub const HRT_KEEP_BODY_1: hrt_limit = 112;
pub const HRT_RECORD_ALIGN: hrt_limit = 64;
pub const HRT_SEGMENT_HEADER: hrt_limit = 4096;
pub const HRT_SEGMENT_MARK: hrt_limit = 512;
pub const HRT_GROUP_MAX: hrt_limit = 1048576;
pub const HRT_HISTOGRAM_BUCKETS: hrt_limit = 512;
pub type hrt_limit = ::core::ffi::c_uint;
pub const HRT_OK: hrt_status = 0;
pub const HRT_EINVAL: hrt_status = -1;
pub const HRT_ENOMEM: hrt_status = -2;
pub const HRT_EIO: hrt_status = -3;
pub const HRT_ENOSPC: hrt_status = -4;
pub const HRT_EFULL: hrt_status = -5;
pub const HRT_ELOGFULL: hrt_status = -6;
pub const HRT_ETIMEOUT: hrt_status = -7;
pub const HRT_ETOOLARGE: hrt_status = -8;
pub const HRT_EKIND: hrt_status = -9;
pub const HRT_EQUEUE: hrt_status = -10;
pub const HRT_ENAME: hrt_status = -11;
pub const HRT_EVERSION: hrt_status = -12;
pub const HRT_ECORRUPT: hrt_status = -13;
pub const HRT_EBUSY: hrt_status = -14;
pub const HRT_ECLOSED: hrt_status = -15;
pub const HRT_EDRAIN: hrt_status = -16;
pub const HRT_ENOTFOUND: hrt_status = -17;
pub const HRT_ESTALE: hrt_status = -18;
pub const HRT_ESTATE: hrt_status = -19;
pub const HRT_EPERM: hrt_status = -20;
pub const HRT_EPEER: hrt_status = -21;
pub const HRT_EREACH: hrt_status = -22;
pub const HRT_ELIMIT: hrt_status = -23;
pub const HRT_EAGAIN: hrt_status = -24;
pub const HRT_EEND: hrt_status = -25;
pub const HRT_EGONE: hrt_status = -26;
pub const HRT_EPAUSED: hrt_status = -27;
pub const HRT_EFORK: hrt_status = -28;
pub const HRT_ESYSTEM: hrt_status = -29;
pub type hrt_status = ::core::ffi::c_int;
pub const HRT_DURABILITY_SYNC: hrt_durability = 0;
pub const HRT_DURABILITY_ASYNC: hrt_durability = 1;
pub const HRT_DURABILITY_MEMORY: hrt_durability = 2;
pub type hrt_durability = ::core::ffi::c_uint;
pub const HRT_ORDER_BLOCK: hrt_order = 0;
pub const HRT_ORDER_SKIP: hrt_order = 1;
pub type hrt_order = ::core::ffi::c_uint;
pub const HRT_JOB_SCHEDULED: hrt_job_state = 1;
pub const HRT_JOB_READY: hrt_job_state = 2;
pub const HRT_JOB_RUNNING: hrt_job_state = 3;
pub const HRT_JOB_RETRYING: hrt_job_state = 4;
pub const HRT_JOB_COMPLETED: hrt_job_state = 5;
pub const HRT_JOB_DEAD: hrt_job_state = 6;
pub const HRT_JOB_CANCELLED: hrt_job_state = 7;
pub const HRT_JOB_EXPIRED: hrt_job_state = 8;
pub const HRT_JOB_DISCARDED: hrt_job_state = 9;
pub type hrt_job_state = ::core::ffi::c_uint;
pub const HRT_OUTCOME_OK: hrt_outcome = 1;
pub const HRT_OUTCOME_RETRY: hrt_outcome = 2;
pub const HRT_OUTCOME_SNOOZE: hrt_outcome = 3;
pub const HRT_OUTCOME_DISCARD: hrt_outcome = 4;
pub const HRT_OUTCOME_DEAD: hrt_outcome = 5;
pub const HRT_OUTCOME_RETURNED: hrt_outcome = 6;
pub const HRT_OUTCOME_CRASHED: hrt_outcome = 7;
pub const HRT_OUTCOME_LOST: hrt_outcome = 8;
pub const HRT_OUTCOME_TIMEOUT: hrt_outcome = 9;
pub const HRT_OUTCOME_CANCELLED: hrt_outcome = 10;
pub const HRT_OUTCOME_EXPIRED: hrt_outcome = 11;
pub const HRT_OUTCOME_FORGOTTEN: hrt_outcome = 12;
pub const HRT_OUTCOME_REVIVED: hrt_outcome = 13;
pub type hrt_outcome = ::core::ffi::c_uint;
pub const HRT_MAGIC_SEGMENT: hrt_magic = 1398035016;
pub const HRT_MAGIC_LANE: hrt_magic = 1280594504;
pub const HRT_MAGIC_PAGE: hrt_magic = 1347703368;
pub const HRT_MAGIC_HELLO: hrt_magic = 1213485640;
pub const HRT_MAGIC_DURABLE: hrt_magic = 1146376776;
pub type hrt_magic = ::core::ffi::c_uint;
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct hrt_segment {
    pub magic: u32,
    pub crc: u32,
    pub format_version: u16,
    pub must_understand: u16,
    pub segment_size: u32,
    pub number: u64,
    pub uuid: [u8; 16usize],
    pub created_ns: u64,
    pub head: u64,
    pub aside: u64,
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct hrt_durable_mark {
    pub magic: u32,
    pub crc: u32,
    pub uuid: [u8; 16usize],
    pub position: u64,
    pub sequence: u64,
    pub epoch: u32,
    pub reserved: u32,
}
pub const HRT_RECORD_ENQUEUE: hrt_record_type = 1;
pub const HRT_RECORD_LEASE: hrt_record_type = 2;
pub const HRT_RECORD_SETTLE: hrt_record_type = 3;
pub const HRT_RECORD_CONTROL: hrt_record_type = 4;
pub const HRT_RECORD_CHECKPOINT: hrt_record_type = 5;
pub const HRT_RECORD_EPOCH: hrt_record_type = 6;
pub const HRT_RECORD_PAD: hrt_record_type = 7;
pub const HRT_RECORD_DUE: hrt_record_type = 8;
pub const HRT_RECORD_KEEP: hrt_record_type = 9;
pub const HRT_RECORD_SAVED: hrt_record_type = 10;
pub const HRT_RECORD_LANES: hrt_record_type = 11;
pub const HRT_RECORD_VOID: hrt_record_type = 12;
pub type hrt_record_type = ::core::ffi::c_uint;
pub const HRT_RECORD_LAST: hrt_record_flag = 1;
pub const HRT_RECORD_MUST_UNDERSTAND: hrt_record_flag = 2;
pub type hrt_record_flag = ::core::ffi::c_uint;
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct hrt_record {
    pub length: u32,
    pub crc: u32,
    pub sequence: u64,
    pub position: u64,
    pub durable: u64,
    pub time_ns: u64,
    pub epoch: u32,
    pub type_: u8,
    pub flags: u8,
    pub kind: u16,
    pub queue: u16,
    pub reserved: u16,
    pub count: u32,
    pub key_hash: u64,
}
pub const HRT_ENQUEUE_TRACE: hrt_enqueue_flag = 1;
pub const HRT_ENQUEUE_BLOCK: hrt_enqueue_flag = 2;
pub const HRT_ENQUEUE_AGAIN: hrt_enqueue_flag = 4;
pub const HRT_ENQUEUE_FOLLOW: hrt_enqueue_flag = 8;
pub type hrt_enqueue_flag = ::core::ffi::c_uint;
pub const HRT_TRACE_SIZE: hrt_trace = 32;
pub type hrt_trace = ::core::ffi::c_uint;
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct hrt_enqueue_body {
    pub due_ns: u64,
    pub expires_ns: u64,
    pub parent: u64,
    pub timeout_ms: u32,
    pub result_ttl_ms: u32,
    pub payload_length: u32,
    pub meta_length: u16,
    pub max_attempts: u16,
    pub key_length: u8,
    pub max_crashes: u8,
    pub flags: u8,
    pub reserved: [u8; 5usize],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct hrt_lease_body {
    pub client: u64,
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct hrt_saved_body {
    pub job: u64,
    pub token: u64,
    pub length: u32,
    pub reserved: u32,
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct hrt_lanes_entry {
    pub client: u64,
    pub submit: u64,
    pub reply: u64,
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct hrt_settle_entry {
    pub job: u64,
    pub token: u64,
    pub due_ns: u64,
    pub data_length: u32,
    pub outcome: u8,
    pub cause: u8,
    pub reserved: u16,
}
pub const HRT_CONTROL_KIND: hrt_control_verb = 1;
pub const HRT_CONTROL_QUEUE: hrt_control_verb = 2;
pub const HRT_CONTROL_PAUSE: hrt_control_verb = 3;
pub const HRT_CONTROL_RESUME: hrt_control_verb = 4;
pub const HRT_CONTROL_NOTE: hrt_control_verb = 5;
pub type hrt_control_verb = ::core::ffi::c_uint;
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct hrt_control_body {
    pub verb: u32,
    pub id: u32,
    pub data_length: u32,
    pub reserved: u32,
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct hrt_queue_settings {
    pub name: [::core::ffi::c_char; 64usize],
    pub weight: u32,
    pub max_jobs: u32,
    pub retain_max: u32,
    pub retry_base_ms: u32,
    pub retry_cap_ms: u32,
    pub max_running: u32,
    pub durability: u8,
    pub order: u8,
    pub max_attempts: u16,
    pub timeout_ms: u32,
    pub result_ttl_ms: u32,
    pub max_crashes: u8,
    pub reserved: [u8; 11usize],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct hrt_epoch_body {
    pub boot_id: [u8; 16usize],
    pub instance: u64,
    pub format_version: u32,
    pub pid: u32,
    pub tail_lost: u64,
    pub reserved: u64,
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct hrt_checkpoint_body {
    pub state_hash: u64,
    pub jobs: u64,
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct hrt_keep_body {
    pub enqueue: hrt_enqueue_body,
    pub job: u64,
    pub token: u64,
    pub enqueued_ns: u64,
    pub settled_ns: u64,
    pub due_ns: u64,
    pub client: u64,
    pub error_length: u32,
    pub result_length: u32,
    pub attempt: u16,
    pub crashes: u8,
    pub state: u8,
    pub outcome: u8,
    pub cause: u8,
    pub place: u16,
    pub saved_length: u32,
    pub reserved: u32,
}
pub const HRT_PARK_AWAKE: hrt_park = 0;
pub const HRT_PARK_FUTEX: hrt_park = 1;
pub const HRT_PARK_EVENTFD: hrt_park = 2;
pub type hrt_park = ::core::ffi::c_uint;
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct hrt_lane_progress {
    pub submit: u64,
    pub reply: u64,
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct hrt_lane {
    pub magic: u32,
    pub abi_version: u32,
    pub incarnation: u64,
    pub number: u32,
    pub size: u32,
    pub submit_offset: u32,
    pub submit_capacity: u32,
    pub deliver_offset: u32,
    pub deliver_capacity: u32,
    pub reply_offset: u32,
    pub reply_capacity: u32,
    pub started_offset: u32,
    pub started_capacity: u32,
    pub lease_ns: u64,
    pub pad_0: [u8; 64usize],
    pub submit_tail: u64,
    pub pad_1: [u8; 120usize],
    pub submit_head: u64,
    pub pad_2: [u8; 120usize],
    pub submit_park: u32,
    pub pad_3: [u8; 124usize],
    pub deliver_tail: u64,
    pub reply_tail: u64,
    pub draining: u32,
    pub closed: u32,
    pub names: u64,
    pub runtime_alive: u32,
    pub standby: u32,
    pub progress_turn: u32,
    pub takeovers: u32,
    pub progress: [hrt_lane_progress; 2usize],
    pub pad_4: [u8; 48usize],
    pub deliver_head: u64,
    pub pad_5: [u8; 120usize],
    pub deliver_park: u32,
    pub pad_6: [u8; 124usize],
    pub alive: u32,
    pub detached: u32,
    pub heartbeat_ns: u64,
    pub pad_7: [u8; 112usize],
}
pub const HRT_SUBMIT_PAD: hrt_submit_type = 0;
pub const HRT_SUBMIT_ENQUEUE: hrt_submit_type = 1;
pub const HRT_SUBMIT_SETTLE: hrt_submit_type = 2;
pub const HRT_SUBMIT_REGISTER: hrt_submit_type = 3;
pub const HRT_SUBMIT_WATCH: hrt_submit_type = 4;
pub const HRT_SUBMIT_SPACE: hrt_submit_type = 5;
pub const HRT_SUBMIT_PROGRESS: hrt_submit_type = 6;
pub const HRT_SUBMIT_EXTEND: hrt_submit_type = 7;
pub const HRT_SUBMIT_CANCEL: hrt_submit_type = 8;
pub const HRT_SUBMIT_SAVE: hrt_submit_type = 9;
pub type hrt_submit_type = ::core::ffi::c_uint;
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct hrt_submit {
    pub length: u32,
    pub type_: u16,
    pub reserved: u16,
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct hrt_submit_enqueue {
    pub head: hrt_submit,
    pub delay_ns: u64,
    pub due_ns: u64,
    pub payload_length: u32,
    pub timeout_ms: u32,
    pub result_ttl_ms: u32,
    pub expires_ms: u32,
    pub kind: u16,
    pub queue: u16,
    pub meta_length: u16,
    pub max_attempts: u16,
    pub key_length: u8,
    pub max_crashes: u8,
    pub flags: u8,
    pub reserved: [u8; 5usize],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct hrt_submit_settle {
    pub head: hrt_submit,
    pub job: u64,
    pub token: u64,
    pub delay_ns: u64,
    pub data_length: u32,
    pub follow_count: u16,
    pub outcome: u8,
    pub reserved: u8,
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct hrt_submit_register {
    pub head: hrt_submit,
    pub kind_count: u32,
    pub concurrency: u32,
    pub credit: u32,
    pub names_length: u32,
    pub pool: [::core::ffi::c_char; 64usize],
    pub language: [::core::ffi::c_char; 16usize],
    pub version: [::core::ffi::c_char; 32usize],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct hrt_submit_job {
    pub head: hrt_submit,
    pub job: u64,
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct hrt_submit_space {
    pub head: hrt_submit,
    pub queue: u64,
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct hrt_submit_progress {
    pub head: hrt_submit,
    pub job: u64,
    pub token: u64,
    pub permille: u32,
    pub note_length: u32,
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct hrt_submit_extend {
    pub head: hrt_submit,
    pub job: u64,
    pub token: u64,
    pub more_ns: u64,
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct hrt_submit_save {
    pub head: hrt_submit,
    pub job: u64,
    pub token: u64,
    pub length: u32,
    pub reserved: u32,
}
pub const HRT_DELIVERY_LEASE: hrt_delivery_type = 1;
pub const HRT_DELIVERY_CANCEL: hrt_delivery_type = 2;
pub const HRT_DELIVERY_REFUSED: hrt_delivery_type = 3;
pub const HRT_DELIVERY_RESULT: hrt_delivery_type = 4;
pub const HRT_DELIVERY_SPACE: hrt_delivery_type = 5;
pub const HRT_DELIVERY_SAVED: hrt_delivery_type = 6;
pub const HRT_DELIVERY_ADOPTED: hrt_delivery_type = 7;
pub type hrt_delivery_type = ::core::ffi::c_uint;
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct hrt_delivery {
    pub type_: u32,
    pub code: i32,
    pub job: u64,
    pub token: u64,
    pub deadline_ns: u64,
    pub slot: u32,
    pub record_offset: u32,
    pub data_offset: u32,
    pub data_length: u32,
    pub kind: u16,
    pub queue: u16,
    pub attempt: u16,
    pub reserved: u16,
    pub started_index: u32,
    pub pad: u32,
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct hrt_histogram {
    pub count: u64,
    pub sum_ns: u64,
    pub max_ns: u64,
    pub reserved: u64,
    pub buckets: [u64; 512usize],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct hrt_queue_counters {
    pub enqueued: u64,
    pub rejected: u64,
    pub leased: u64,
    pub completed: u64,
    pub retried: u64,
    pub snoozed: u64,
    pub discarded: u64,
    pub died: u64,
    pub cancelled: u64,
    pub expired: u64,
    pub returned: u64,
    pub crashed: u64,
    pub lost: u64,
    pub timed_out: u64,
    pub scheduled: u64,
    pub ready: u64,
    pub running: u64,
    pub retrying: u64,
    pub dead: u64,
    pub retained: u64,
    pub paused: u64,
    pub oldest_ready_ns: u64,
    pub reserved: [u64; 10usize],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct hrt_kind_counters {
    pub leased: u64,
    pub completed: u64,
    pub failed: u64,
    pub workers: u64,
    pub reserved: [u64; 4usize],
    pub wait: hrt_histogram,
    pub run: hrt_histogram,
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct hrt_runtime_counters {
    pub passes: u64,
    pub groups: u64,
    pub records: u64,
    pub bytes: u64,
    pub submissions: u64,
    pub leases: u64,
    pub settles: u64,
    pub refused: u64,
    pub rejected: u64,
    pub parks: u64,
    pub wakes: u64,
    pub rescues: u64,
    pub inline_pumps: u64,
    pub syncs: u64,
    pub sync_ns: u64,
    pub sync_max_ns: u64,
    pub lanes: u64,
    pub lane_deaths: u64,
    pub lane_faults: u64,
    pub recycled: u64,
    pub kept: u64,
    pub log_head: u64,
    pub log_tail: u64,
    pub log_durable: u64,
    pub segments: u64,
    pub jobs: u64,
    pub sequence: u64,
    pub epoch: u64,
    pub state_hash_unused: u64,
    pub started_ns: u64,
    pub draining: u64,
    pub reserved: [u64; 9usize],
    pub sync: hrt_histogram,
    pub pass: hrt_histogram,
    pub recovery: hrt_histogram,
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct hrt_name {
    pub text: [::core::ffi::c_char; 64usize],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct hrt_page {
    pub magic: u32,
    pub abi_version: u32,
    pub size: u32,
    pub segment_size: u32,
    pub uuid: [u8; 16usize],
    pub incarnation: u64,
    pub kind_count: u32,
    pub queue_count: u32,
    pub writer_alive: u32,
    pub follow_park: u32,
    pub pad_0: [u8; 72usize],
    pub kinds: [hrt_name; 256usize],
    pub queues: [hrt_queue_settings; 64usize],
    pub runtime: hrt_runtime_counters,
    pub queue_counters: [hrt_queue_counters; 64usize],
    pub kind_counters: [hrt_kind_counters; 256usize],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct hrt_hello {
    pub magic: u32,
    pub abi_version: u32,
    pub submit_capacity: u32,
    pub reserved: u32,
    pub name: [::core::ffi::c_char; 64usize],
    pub pad: [u8; 48usize],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct hrt_welcome {
    pub magic: u32,
    pub abi_version: u32,
    pub status: i32,
    pub number: u32,
    pub incarnation: u64,
    pub text: [::core::ffi::c_char; 232usize],
}
pub const HRT_FD_LANE: hrt_attach_fd = 0;
pub const HRT_FD_PAGE: hrt_attach_fd = 1;
pub const HRT_FD_LOG: hrt_attach_fd = 2;
pub const HRT_FD_EVENT: hrt_attach_fd = 3;
pub const HRT_FD_COUNT: hrt_attach_fd = 4;
pub type hrt_attach_fd = ::core::ffi::c_uint;
#[repr(C)]
#[derive(Debug)]
pub struct hrt_client {
    _unused: [u8; 0],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct hrt_attach_options {
    pub struct_size: u32,
    pub abi_version: u32,
    pub address: *const ::core::ffi::c_char,
    pub name: *const ::core::ffi::c_char,
    pub timeout_ns: i64,
    pub submit_capacity: u32,
    pub reserved: u32,
}
pub const HRT_NONE: hrt_unset = 4294967295;
pub type hrt_unset = ::core::ffi::c_uint;
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct hrt_spec {
    pub payload: *const ::core::ffi::c_void,
    pub key: *const ::core::ffi::c_void,
    pub meta: *const ::core::ffi::c_void,
    pub trace: *const u8,
    pub delay_ns: u64,
    pub due_ns: u64,
    pub payload_length: u32,
    pub timeout_ms: u32,
    pub result_ttl_ms: u32,
    pub expires_ms: u32,
    pub kind: u16,
    pub queue: u16,
    pub meta_length: u16,
    pub max_attempts: u16,
    pub key_length: u8,
    pub max_crashes: u8,
    pub block: u8,
    pub reserved: [u8; 5usize],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct hrt_register_options {
    pub kinds: *const *const ::core::ffi::c_char,
    pub pool: *const ::core::ffi::c_char,
    pub language: *const ::core::ffi::c_char,
    pub version: *const ::core::ffi::c_char,
    pub kind_count: u32,
    pub concurrency: u32,
    pub credit: u32,
    pub reserved: u32,
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct hrt_job {
    pub id: u64,
    pub token: u64,
    pub payload: *const u8,
    pub key: *const u8,
    pub meta: *const u8,
    pub trace: *const u8,
    pub started: *mut u64,
    pub enqueued_ns: u64,
    pub deadline_ns: u64,
    pub parent: u64,
    pub saved: *const u8,
    pub payload_length: u32,
    pub saved_length: u32,
    pub meta_length: u16,
    pub kind: u16,
    pub queue: u16,
    pub attempt: u16,
    pub max_attempts: u16,
    pub key_length: u8,
    pub reserved: [u8; 5usize],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct hrt_settlement {
    pub job: u64,
    pub token: u64,
    pub data: *const ::core::ffi::c_void,
    pub follow: *const hrt_spec,
    pub delay_ns: u64,
    pub data_length: u32,
    pub follow_count: u32,
    pub outcome: u8,
    pub reserved: [u8; 7usize],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct hrt_notice {
    pub job: u64,
    pub token: u64,
    pub data: *mut u8,
    pub data_length: u32,
    pub type_: u32,
    pub code: i32,
    pub queue: u32,
}
unsafe extern "C" {
    pub fn hrt_abi_version() -> u32;
    pub fn hrt_version() -> *const ::core::ffi::c_char;
    pub fn hrt_strerror(status: ::core::ffi::c_int) -> *const ::core::ffi::c_char;
    pub fn hrt_status_name(status: ::core::ffi::c_int) -> *const ::core::ffi::c_char;
    pub fn hrt_last_error(buffer: *mut ::core::ffi::c_char, size: usize) -> usize;
    pub fn hrt_crc32c(seed: u32, data: *const ::core::ffi::c_void, length: usize) -> u32;
    pub fn hrt_attach(
        options: *const hrt_attach_options,
        client_out: *mut *mut hrt_client,
    ) -> ::core::ffi::c_int;
    pub fn hrt_detach(client: *mut hrt_client);
    pub fn hrt_incarnation(client: *const hrt_client) -> u64;
    pub fn hrt_kind(
        client: *mut hrt_client,
        name: *const ::core::ffi::c_char,
        length: usize,
        kind_out: *mut u16,
    ) -> ::core::ffi::c_int;
    pub fn hrt_queue(
        client: *mut hrt_client,
        name: *const ::core::ffi::c_char,
        length: usize,
        queue_out: *mut u16,
    ) -> ::core::ffi::c_int;
    pub fn hrt_kind_name(client: *mut hrt_client, kind: u16) -> *const ::core::ffi::c_char;
    pub fn hrt_queue_name(client: *mut hrt_client, queue: u16) -> *const ::core::ffi::c_char;
    pub fn hrt_client_page(client: *const hrt_client) -> *const hrt_page;
    pub fn hrt_enqueue(
        client: *mut hrt_client,
        specs: *const hrt_spec,
        count: u32,
        timeout_ns: i64,
        first_out: *mut u64,
    ) -> ::core::ffi::c_int;
    pub fn hrt_enqueue_packed(
        client: *mut hrt_client,
        like: *const hrt_spec,
        payloads: *const ::core::ffi::c_void,
        lengths: *const u32,
        stride: u32,
        count: u32,
        timeout_ns: i64,
        first_out: *mut u64,
        done_out: *mut u32,
    ) -> ::core::ffi::c_int;
    pub fn hrt_wait(client: *mut hrt_client, end: u64, timeout_ns: i64) -> ::core::ffi::c_int;
    pub fn hrt_replies(
        client: *mut hrt_client,
        first: u64,
        count: u32,
        ids_out: *mut i64,
    ) -> ::core::ffi::c_int;
    pub fn hrt_enqueue_wait(
        client: *mut hrt_client,
        specs: *const hrt_spec,
        count: u32,
        timeout_ns: i64,
        ids_out: *mut i64,
    ) -> ::core::ffi::c_int;
    pub fn hrt_register(
        client: *mut hrt_client,
        options: *const hrt_register_options,
    ) -> ::core::ffi::c_int;
    pub fn hrt_fetch(
        client: *mut hrt_client,
        jobs_out: *mut hrt_job,
        max: u32,
        timeout_ns: i64,
        count_out: *mut u32,
    ) -> ::core::ffi::c_int;
    pub fn hrt_job_started(job: *const hrt_job);
    pub fn hrt_settle(
        client: *mut hrt_client,
        settlements: *const hrt_settlement,
        count: u32,
    ) -> ::core::ffi::c_int;
    pub fn hrt_unit_max(client: *const hrt_client) -> u32;
    pub fn hrt_extend(
        client: *mut hrt_client,
        job: u64,
        token: u64,
        more_ns: u64,
    ) -> ::core::ffi::c_int;
    pub fn hrt_progress(
        client: *mut hrt_client,
        job: u64,
        token: u64,
        permille: u32,
        note: *const ::core::ffi::c_char,
        note_length: usize,
    ) -> ::core::ffi::c_int;
    pub fn hrt_save(
        client: *mut hrt_client,
        job: u64,
        token: u64,
        data: *const ::core::ffi::c_void,
        length: usize,
    ) -> ::core::ffi::c_int;
    pub fn hrt_watch(client: *mut hrt_client, job: u64) -> ::core::ffi::c_int;
    pub fn hrt_cancel(client: *mut hrt_client, job: u64) -> ::core::ffi::c_int;
    pub fn hrt_poll(
        client: *mut hrt_client,
        notices_out: *mut hrt_notice,
        max: u32,
        timeout_ns: i64,
        count_out: *mut u32,
    ) -> ::core::ffi::c_int;
    pub fn hrt_notice_free(notice: *mut hrt_notice);
    pub fn hrt_interrupt(client: *mut hrt_client);
    pub fn hrt_draining(client: *const hrt_client) -> ::core::ffi::c_int;
    pub fn hrt_event_fd(client: *const hrt_client) -> ::core::ffi::c_int;
    pub fn hrt_arm(client: *mut hrt_client) -> ::core::ffi::c_int;
    pub fn hrt_monotonic_ns() -> u64;
    pub fn hrt_histogram_bucket(value_ns: u64) -> u32;
    pub fn hrt_histogram_value(bucket: u32) -> u64;
}
