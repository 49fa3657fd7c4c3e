/* The buckets of a latency histogram. */
#include "tap.h"

#include <hybridrt/hybridrt.h>

static void each_bucket_begins_with_its_value(void)
{
    for (uint32_t bucket = 0; bucket < HRT_HISTOGRAM_BUCKETS; bucket++) {
        const uint64_t value = hrt_histogram_value(bucket);
        CHECK_EQ(hrt_histogram_bucket(value), bucket);
        if (value > 0)
            CHECK_EQ(hrt_histogram_bucket(value - 1), bucket - 1);
    }
}

static void a_bucket_is_at_most_a_sixteenth_wide(void)
{
    for (uint32_t bucket = 16; bucket + 1 < HRT_HISTOGRAM_BUCKETS; bucket++) {
        const uint64_t width = hrt_histogram_value(bucket + 1) - hrt_histogram_value(bucket);
        CHECK(width * 16 <= hrt_histogram_value(bucket));
    }
}

static void the_last_bucket_takes_all_the_rest(void)
{
    CHECK_EQ(hrt_histogram_bucket(UINT64_MAX), HRT_HISTOGRAM_BUCKETS - 1);
    CHECK_EQ(hrt_histogram_value(UINT32_MAX), hrt_histogram_value(HRT_HISTOGRAM_BUCKETS - 1));
    CHECK(hrt_histogram_value(HRT_HISTOGRAM_BUCKETS - 1) > 500000000000);
}

int main(void)
{
    TAP_LIST(TEST(each_bucket_begins_with_its_value), TEST(a_bucket_is_at_most_a_sixteenth_wide),
             TEST(the_last_bucket_takes_all_the_rest));
}
