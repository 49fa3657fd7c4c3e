/* What abi.h promises, held at compile time, and the texts of the status codes. */
#include <hybridrt/runtime.h>
#include <stddef.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error \
    "hybridrt needs a little-endian machine: its layouts are shared between processes as they are"
#endif

#define SIZE(type, bytes) _Static_assert(sizeof(type) == (bytes), #type " has another size")
#define PLACE(type, field, bytes) \
    _Static_assert(offsetof(type, field) == (bytes), #type "." #field " lies elsewhere")

SIZE(hrt_segment, 64);
SIZE(hrt_record, 64);
SIZE(hrt_enqueue_body, 48);
SIZE(hrt_lease_body, 8);
SIZE(hrt_settle_entry, 32);
SIZE(hrt_control_body, 16);
SIZE(hrt_queue_settings, 112);
SIZE(hrt_epoch_body, 48);
SIZE(hrt_checkpoint_body, 16);
SIZE(hrt_saved_body, 24);
SIZE(hrt_lanes_entry, 24);
SIZE(hrt_keep_body, 120);
SIZE(hrt_lane_progress, 16);
SIZE(hrt_lane, 1024);
SIZE(hrt_submit, 8);
SIZE(hrt_submit_enqueue, 56);
SIZE(hrt_submit_settle, 40);
SIZE(hrt_submit_register, 136);
SIZE(hrt_submit_job, 16);
SIZE(hrt_submit_space, 16);
SIZE(hrt_submit_progress, 32);
SIZE(hrt_submit_extend, 32);
SIZE(hrt_submit_save, 32);
SIZE(hrt_delivery, 64);
SIZE(hrt_histogram, 32 + 8 * HRT_HISTOGRAM_BUCKETS);
SIZE(hrt_queue_counters, 256);
SIZE(hrt_kind_counters, 8320);
SIZE(hrt_hello, 128);
SIZE(hrt_welcome, 256);

/* Fields with different writers never share a line. */
PLACE(hrt_lane, submit_tail, 1 * HRT_LINE);
PLACE(hrt_lane, submit_head, 2 * HRT_LINE);
PLACE(hrt_lane, submit_park, 3 * HRT_LINE);
PLACE(hrt_lane, deliver_tail, 4 * HRT_LINE);
PLACE(hrt_lane, deliver_head, 5 * HRT_LINE);
PLACE(hrt_lane, deliver_park, 6 * HRT_LINE);
PLACE(hrt_lane, alive, 7 * HRT_LINE);
PLACE(hrt_page, kinds, HRT_LINE);

uint32_t hrt_abi_version(void)
{
    return HRT_ABI_VERSION;
}

const char *hrt_version(void)
{
    return HRT_VERSION;
}

const char *hrt_strerror(int status)
{
    switch (status) {
#define TEXT(name, value, text) \
    case value:                 \
        return text;
        HRT_STATUS_MAP(TEXT)
#undef TEXT
    default:
        return "unknown status";
    }
}

const char *hrt_status_name(int status)
{
    switch (status) {
#define NAME(name, value, text) \
    case value:                 \
        return #name;
        HRT_STATUS_MAP(NAME)
#undef NAME
    default:
        return "HRT_UNKNOWN";
    }
}
