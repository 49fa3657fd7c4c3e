// Made by ffi/rust/bindings.sh from abi.h; do not edit.
fields! {
    hrt_segment { magic, crc, format_version, must_understand, segment_size, number, uuid,
created_ns, head, aside, }
    hrt_durable_mark { magic, crc, uuid, position, sequence, epoch, reserved, }
    hrt_record { length, crc, sequence, position, durable, time_ns, epoch, type_, flags, kind,
queue, reserved, count, key_hash, }
    hrt_enqueue_body { due_ns, expires_ns, parent, timeout_ms, result_ttl_ms, payload_length,
meta_length, max_attempts, key_length, max_crashes, flags, reserved, }
    hrt_lease_body { client, }
    hrt_saved_body { job, token, length, reserved, }
    hrt_lanes_entry { client, submit, reply, }
    hrt_settle_entry { job, token, due_ns, data_length, outcome, cause, reserved, }
    hrt_control_body { verb, id, data_length, reserved, }
    hrt_queue_settings { name, weight, max_jobs, retain_max, retry_base_ms, retry_cap_ms,
max_running, durability, order, max_attempts, timeout_ms, result_ttl_ms, max_crashes, reserved,
}
    hrt_epoch_body { boot_id, instance, format_version, pid, tail_lost, reserved, }
    hrt_checkpoint_body { state_hash, jobs, }
    hrt_keep_body { enqueue, job, token, enqueued_ns, settled_ns, due_ns, client, error_length,
result_length, attempt, crashes, state, outcome, cause, place, saved_length, reserved, }
    hrt_lane_progress { submit, reply, }
    hrt_lane { magic, abi_version, incarnation, number, size, submit_offset, submit_capacity,
deliver_offset, deliver_capacity, reply_offset, reply_capacity, started_offset,
started_capacity, lease_ns, pad_0, submit_tail, pad_1, submit_head, pad_2, submit_park, pad_3,
deliver_tail, reply_tail, draining, closed, names, runtime_alive, standby, progress_turn,
takeovers, progress, pad_4, deliver_head, pad_5, deliver_park, pad_6, alive, detached,
heartbeat_ns, pad_7, }
    hrt_submit { length, type_, reserved, }
    hrt_submit_enqueue { head, delay_ns, due_ns, payload_length, timeout_ms, result_ttl_ms,
expires_ms, kind, queue, meta_length, max_attempts, key_length, max_crashes, flags, reserved, }
    hrt_submit_settle { head, job, token, delay_ns, data_length, follow_count, outcome,
reserved, }
    hrt_submit_register { head, kind_count, concurrency, credit, names_length, pool, language,
version, }
    hrt_submit_job { head, job, }
    hrt_submit_space { head, queue, }
    hrt_submit_progress { head, job, token, permille, note_length, }
    hrt_submit_extend { head, job, token, more_ns, }
    hrt_submit_save { head, job, token, length, reserved, }
    hrt_delivery { type_, code, job, token, deadline_ns, slot, record_offset, data_offset,
data_length, kind, queue, attempt, reserved, started_index, pad, }
    hrt_histogram { count, sum_ns, max_ns, reserved, buckets, }
    hrt_queue_counters { enqueued, rejected, leased, completed, retried, snoozed, discarded,
died, cancelled, expired, returned, crashed, lost, timed_out, scheduled, ready, running,
retrying, dead, retained, paused, oldest_ready_ns, reserved, }
    hrt_kind_counters { leased, completed, failed, workers, reserved, wait, run, }
    hrt_runtime_counters { passes, groups, records, bytes, submissions, leases, settles,
refused, rejected, parks, wakes, rescues, inline_pumps, syncs, sync_ns, sync_max_ns, lanes,
lane_deaths, lane_faults, recycled, kept, log_head, log_tail, log_durable, segments, jobs,
sequence, epoch, state_hash_unused, started_ns, draining, reserved, sync, pass, recovery, }
    hrt_name { text, }
    hrt_page { magic, abi_version, size, segment_size, uuid, incarnation, kind_count,
queue_count, writer_alive, follow_park, pad_0, kinds, queues, runtime, queue_counters,
kind_counters, }
    hrt_hello { magic, abi_version, submit_capacity, reserved, name, pad, }
    hrt_welcome { magic, abi_version, status, number, incarnation, text, }
    hrt_attach_options { struct_size, abi_version, address, name, timeout_ns, submit_capacity,
reserved, }
    hrt_spec { payload, key, meta, trace, delay_ns, due_ns, payload_length, timeout_ms,
result_ttl_ms, expires_ms, kind, queue, meta_length, max_attempts, key_length, max_crashes,
block, reserved, }
    hrt_register_options { kinds, pool, language, version, kind_count, concurrency, credit,
reserved, }
    hrt_job { id, token, payload, key, meta, trace, started, enqueued_ns, deadline_ns, parent,
saved, payload_length, saved_length, meta_length, kind, queue, attempt, max_attempts,
key_length, reserved, }
    hrt_settlement { job, token, data, follow, delay_ns, data_length, follow_count, outcome,
reserved, }
    hrt_notice { job, token, data, data_length, type_, code, queue, }
}
constants! {
    hrt_version_number HRT_ABI_VERSION,
    hrt_version_number HRT_FORMAT_VERSION,
    hrt_limit HRT_LINE,
    hrt_limit HRT_KIND_NAME_MAX,
    hrt_limit HRT_QUEUE_NAME_MAX,
    hrt_limit HRT_POOL_NAME_MAX,
    hrt_limit HRT_KEY_MAX,
    hrt_limit HRT_META_MAX,
    hrt_limit HRT_PAYLOAD_MAX,
    hrt_limit HRT_RESULT_MAX,
    hrt_limit HRT_ERROR_MAX,
    hrt_limit HRT_SAVED_MAX,
    hrt_limit HRT_NOTE_MAX,
    hrt_limit HRT_KINDS_MAX,
    hrt_limit HRT_QUEUES_MAX,
    hrt_limit HRT_LANES_MAX,
    hrt_limit HRT_CREDIT_MAX,
    hrt_limit HRT_FOLLOW_MAX,
    hrt_limit HRT_KEEP_BODY_1,
    hrt_limit HRT_RECORD_ALIGN,
    hrt_limit HRT_SEGMENT_HEADER,
    hrt_limit HRT_SEGMENT_MARK,
    hrt_limit HRT_GROUP_MAX,
    hrt_limit HRT_HISTOGRAM_BUCKETS,
    hrt_status HRT_OK,
    hrt_status HRT_EINVAL,
    hrt_status HRT_ENOMEM,
    hrt_status HRT_EIO,
    hrt_status HRT_ENOSPC,
    hrt_status HRT_EFULL,
    hrt_status HRT_ELOGFULL,
    hrt_status HRT_ETIMEOUT,
    hrt_status HRT_ETOOLARGE,
    hrt_status HRT_EKIND,
    hrt_status HRT_EQUEUE,
    hrt_status HRT_ENAME,
    hrt_status HRT_EVERSION,
    hrt_status HRT_ECORRUPT,
    hrt_status HRT_EBUSY,
    hrt_status HRT_ECLOSED,
    hrt_status HRT_EDRAIN,
    hrt_status HRT_ENOTFOUND,
    hrt_status HRT_ESTALE,
    hrt_status HRT_ESTATE,
    hrt_status HRT_EPERM,
    hrt_status HRT_EPEER,
    hrt_status HRT_EREACH,
    hrt_status HRT_ELIMIT,
    hrt_status HRT_EAGAIN,
    hrt_status HRT_EEND,
    hrt_status HRT_EGONE,
    hrt_status HRT_EPAUSED,
    hrt_status HRT_EFORK,
    hrt_status HRT_ESYSTEM,
    hrt_durability HRT_DURABILITY_SYNC,
    hrt_durability HRT_DURABILITY_ASYNC,
    hrt_durability HRT_DURABILITY_MEMORY,
    hrt_order HRT_ORDER_BLOCK,
    hrt_order HRT_ORDER_SKIP,
    hrt_job_state HRT_JOB_SCHEDULED,
    hrt_job_state HRT_JOB_READY,
    hrt_job_state HRT_JOB_RUNNING,
    hrt_job_state HRT_JOB_RETRYING,
    hrt_job_state HRT_JOB_COMPLETED,
    hrt_job_state HRT_JOB_DEAD,
    hrt_job_state HRT_JOB_CANCELLED,
    hrt_job_state HRT_JOB_EXPIRED,
    hrt_job_state HRT_JOB_DISCARDED,
    hrt_outcome HRT_OUTCOME_OK,
    hrt_outcome HRT_OUTCOME_RETRY,
    hrt_outcome HRT_OUTCOME_SNOOZE,
    hrt_outcome HRT_OUTCOME_DISCARD,
    hrt_outcome HRT_OUTCOME_DEAD,
    hrt_outcome HRT_OUTCOME_RETURNED,
    hrt_outcome HRT_OUTCOME_CRASHED,
    hrt_outcome HRT_OUTCOME_LOST,
    hrt_outcome HRT_OUTCOME_TIMEOUT,
    hrt_outcome HRT_OUTCOME_CANCELLED,
    hrt_outcome HRT_OUTCOME_EXPIRED,
    hrt_outcome HRT_OUTCOME_FORGOTTEN,
    hrt_outcome HRT_OUTCOME_REVIVED,
    hrt_magic HRT_MAGIC_SEGMENT,
    hrt_magic HRT_MAGIC_LANE,
    hrt_magic HRT_MAGIC_PAGE,
    hrt_magic HRT_MAGIC_HELLO,
    hrt_magic HRT_MAGIC_DURABLE,
    hrt_record_type HRT_RECORD_ENQUEUE,
    hrt_record_type HRT_RECORD_LEASE,
    hrt_record_type HRT_RECORD_SETTLE,
    hrt_record_type HRT_RECORD_CONTROL,
    hrt_record_type HRT_RECORD_CHECKPOINT,
    hrt_record_type HRT_RECORD_EPOCH,
    hrt_record_type HRT_RECORD_PAD,
    hrt_record_type HRT_RECORD_DUE,
    hrt_record_type HRT_RECORD_KEEP,
    hrt_record_type HRT_RECORD_SAVED,
    hrt_record_type HRT_RECORD_LANES,
    hrt_record_type HRT_RECORD_VOID,
    hrt_record_flag HRT_RECORD_LAST,
    hrt_record_flag HRT_RECORD_MUST_UNDERSTAND,
    hrt_enqueue_flag HRT_ENQUEUE_TRACE,
    hrt_enqueue_flag HRT_ENQUEUE_BLOCK,
    hrt_enqueue_flag HRT_ENQUEUE_AGAIN,
    hrt_enqueue_flag HRT_ENQUEUE_FOLLOW,
    hrt_trace HRT_TRACE_SIZE,
    hrt_control_verb HRT_CONTROL_KIND,
    hrt_control_verb HRT_CONTROL_QUEUE,
    hrt_control_verb HRT_CONTROL_PAUSE,
    hrt_control_verb HRT_CONTROL_RESUME,
    hrt_control_verb HRT_CONTROL_NOTE,
    hrt_park HRT_PARK_AWAKE,
    hrt_park HRT_PARK_FUTEX,
    hrt_park HRT_PARK_EVENTFD,
    hrt_submit_type HRT_SUBMIT_PAD,
    hrt_submit_type HRT_SUBMIT_ENQUEUE,
    hrt_submit_type HRT_SUBMIT_SETTLE,
    hrt_submit_type HRT_SUBMIT_REGISTER,
    hrt_submit_type HRT_SUBMIT_WATCH,
    hrt_submit_type HRT_SUBMIT_SPACE,
    hrt_submit_type HRT_SUBMIT_PROGRESS,
    hrt_submit_type HRT_SUBMIT_EXTEND,
    hrt_submit_type HRT_SUBMIT_CANCEL,
    hrt_submit_type HRT_SUBMIT_SAVE,
    hrt_delivery_type HRT_DELIVERY_LEASE,
    hrt_delivery_type HRT_DELIVERY_CANCEL,
    hrt_delivery_type HRT_DELIVERY_REFUSED,
    hrt_delivery_type HRT_DELIVERY_RESULT,
    hrt_delivery_type HRT_DELIVERY_SPACE,
    hrt_delivery_type HRT_DELIVERY_SAVED,
    hrt_delivery_type HRT_DELIVERY_ADOPTED,
    hrt_attach_fd HRT_FD_LANE,
    hrt_attach_fd HRT_FD_PAGE,
    hrt_attach_fd HRT_FD_LOG,
    hrt_attach_fd HRT_FD_EVENT,
    hrt_attach_fd HRT_FD_COUNT,
    hrt_unset HRT_NONE,
}
