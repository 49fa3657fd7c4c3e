/* Attaching: the socket's hello, inherited descriptors, names, and every way to be turned away. */
#include "client.h"
#include "peer.h"

#include <sys/socket.h>
#include <sys/un.h>

/* A listener that answers one hello as the test says. */
typedef struct listener {
    peer *end;
    int fd;
    char path[80];
    hrt_hello hello;
    hrt_welcome welcome;
    size_t welcome_length;
    int fd_count;
    pthread_t thread;
} listener;

static void send_welcome(const listener *self, int peer_fd)
{
    struct iovec bytes = {
        .iov_base = (void *)(uintptr_t)&self->welcome,
        .iov_len = self->welcome_length,
    };
    union {
        char bytes[CMSG_SPACE(HRT_FD_COUNT * sizeof(int))];
        struct cmsghdr alignment;
    } control = {0};
    struct msghdr message = {.msg_iov = &bytes, .msg_iovlen = 1};
    if (self->fd_count > 0) {
        const size_t size = (size_t)self->fd_count * sizeof(int);
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(size);
        struct cmsghdr *part = CMSG_FIRSTHDR(&message);
        part->cmsg_level = SOL_SOCKET;
        part->cmsg_type = SCM_RIGHTS;
        part->cmsg_len = CMSG_LEN(size);
        memcpy(CMSG_DATA(part), self->end->fds, size);
    }
    REQUIRE(sendmsg(peer_fd, &message, MSG_NOSIGNAL) >= 0);
}

static void *answer_one(void *context)
{
    listener *self = context;
    const int peer_fd = accept(self->fd, NULL, NULL);
    REQUIRE(peer_fd >= 0);
    REQUIRE(recv(peer_fd, &self->hello, sizeof(self->hello), 0) == (ssize_t)sizeof(hrt_hello));
    if (self->welcome_length > 0)
        send_welcome(self, peer_fd);
    (void)close(peer_fd);
    return NULL;
}

static void listen_at(listener *self, peer *end)
{
    memset(self, 0, sizeof(*self));
    self->end = end;
    self->welcome = (hrt_welcome){.magic = HRT_MAGIC_HELLO, .abi_version = HRT_ABI_VERSION};
    self->welcome_length = sizeof(hrt_welcome);
    self->fd_count = HRT_FD_COUNT;
    (void)snprintf(self->path, sizeof(self->path), "%s/attach.sock", end->directory);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, self->path, sizeof(self->path));
    self->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    REQUIRE(bind(self->fd, (const struct sockaddr *)&address, sizeof(address)) == 0);
    REQUIRE(listen(self->fd, 1) == 0);
}

static hrt_attach_options options_for(const char *path)
{
    const hrt_attach_options options = {
        .struct_size = sizeof(options),
        .abi_version = HRT_ABI_VERSION,
        .address = path,
        .name = "tester",
        .timeout_ns = 10000000000,
    };
    return options;
}

/* Attaches while the listener answers. */
static int attach_to(listener *self, hrt_client **client_out)
{
    const hrt_attach_options options = options_for(self->path);
    REQUIRE(pthread_create(&self->thread, NULL, answer_one, self) == 0);
    const int status = hrt_attach(&options, client_out);
    (void)pthread_join(self->thread, NULL);
    return status;
}

static void stop_listening(listener *self)
{
    (void)close(self->fd);
    (void)unlink(self->path);
}

static void a_hello_brings_a_lane(void)
{
    peer end;
    listener self;
    peer_open(&end);
    listen_at(&self, &end);
    hrt_client *client = NULL;
    CHECK_EQ(attach_to(&self, &client), HRT_OK);
    CHECK_EQ(self.hello.magic, HRT_MAGIC_HELLO);
    CHECK_EQ(self.hello.abi_version, HRT_ABI_VERSION);
    CHECK(strcmp(self.hello.name, "tester") == 0);
    CHECK_EQ(hrt_incarnation(client), 77);
    CHECK_EQ(hrt_client_page(client)->magic, HRT_MAGIC_PAGE);
    const hrt_spec spec = {.kind = 0};
    uint64_t ticket = 0;
    uint8_t entry[64];
    CHECK_EQ(hrt_enqueue(client, &spec, 1, 0, &ticket), HRT_OK);
    CHECK_EQ(peer_take(&end, entry, sizeof(entry)), HRT_SUBMIT_ENQUEUE);
    hrt_detach(client);
    stop_listening(&self);
    peer_close(&end);
}

static void a_refusal_is_told_in_the_runtimes_words(void)
{
    peer end;
    listener self;
    peer_open(&end);
    listen_at(&self, &end);
    self.welcome.status = HRT_EPERM;
    self.fd_count = 0;
    (void)snprintf(self.welcome.text, sizeof(self.welcome.text), "user 12 is a stranger");
    hrt_client *client = NULL;
    CHECK_EQ(attach_to(&self, &client), HRT_EPERM);
    CHECK(peer_error_says("user 12 is a stranger"));
    CHECK(client == NULL);
    stop_listening(&self);
    peer_close(&end);
}

static void odd_welcomes_are_refused(void)
{
    peer end;
    listener self;
    peer_open(&end);
    listen_at(&self, &end);
    hrt_client *client = NULL;
    self.welcome.abi_version = 99;
    CHECK_EQ(attach_to(&self, &client), HRT_EVERSION);
    CHECK(peer_error_says("version 99") && peer_error_says("built with 2"));
    self.welcome.abi_version = HRT_ABI_VERSION;
    self.welcome_length = 100;
    CHECK_EQ(attach_to(&self, &client), HRT_EVERSION);
    self.welcome_length = 0; /* closes without a word */
    CHECK_EQ(attach_to(&self, &client), HRT_EREACH);
    self.welcome_length = sizeof(hrt_welcome);
    self.fd_count = 2;
    CHECK_EQ(attach_to(&self, &client), HRT_EPEER);
    self.fd_count = HRT_FD_COUNT;
    self.welcome.status = 5;
    CHECK_EQ(attach_to(&self, &client), HRT_EPEER);
    CHECK(client == NULL);
    stop_listening(&self);
    peer_close(&end);
}

static void silence_and_absence_are_told_apart(void)
{
    peer end;
    listener self;
    peer_open(&end);
    listen_at(&self, &end);
    hrt_attach_options options = options_for(self.path);
    hrt_client *client = NULL;
    options.timeout_ns = 20000000;
    CHECK_EQ(hrt_attach(&options, &client), HRT_ETIMEOUT); /* nobody answers */
    stop_listening(&self);
    CHECK_EQ(hrt_attach(&options, &client), HRT_EREACH);
    CHECK(peer_error_says("Is it running?"));
    char path[200];
    memset(path, 'p', sizeof(path));
    path[sizeof(path) - 1] = '\0';
    options.address = path;
    CHECK_EQ(hrt_attach(&options, &client), HRT_EREACH);
    peer_close(&end);
}

static void callers_of_other_headers_are_refused(void)
{
    hrt_attach_options options = options_for("/nowhere");
    hrt_client *client = NULL;
    options.abi_version = 99;
    CHECK_EQ(hrt_attach(&options, &client), HRT_EVERSION);
    CHECK(peer_error_says("version 99") && peer_error_says("library has 2"));
    options = options_for("/nowhere");
    options.struct_size = 8;
    CHECK_EQ(hrt_attach(&options, &client), HRT_EVERSION);
}

static int attach_inherited(const char *text)
{
    hrt_attach_options options = options_for(NULL);
    hrt_client *client = NULL;
    REQUIRE(setenv("HYBRIDRT_ATTACH", text, 1) == 0);
    const int status = hrt_attach(&options, &client);
    CHECK(getenv("HYBRIDRT_ATTACH") == NULL);
    return status;
}

static void odd_inheritances_are_refused(void)
{
    CHECK_EQ(attach_inherited("3,4,5,6"), HRT_EINVAL);
    CHECK_EQ(attach_inherited("fds:3,4,5"), HRT_EINVAL);
    CHECK_EQ(attach_inherited("fds:3,4,5,6,7"), HRT_EINVAL);
    CHECK_EQ(attach_inherited("fds:3,4,5,-6"), HRT_EINVAL);
    CHECK_EQ(attach_inherited("fds:1000000,4,5,6"), HRT_EINVAL);
}

static void a_lane_of_another_version_is_refused(void)
{
    peer end;
    listener self;
    peer_open(&end);
    listen_at(&self, &end);
    hrt_client *client = NULL;
    end.lane->abi_version = 3;
    CHECK_EQ(attach_to(&self, &client), HRT_EVERSION);
    CHECK(peer_error_says("version 3"));
    end.lane->abi_version = HRT_ABI_VERSION;
    end.page->abi_version = 4;
    CHECK_EQ(attach_to(&self, &client), HRT_EVERSION);
    CHECK(client == NULL);
    CHECK_EQ(end.lane->alive, 0);
    stop_listening(&self);
    peer_close(&end);
}

static void names_are_found_also_when_new(void)
{
    peer end;
    peer_open(&end);
    hrt_client *client = peer_attach(&end);
    uint16_t number = 9;
    char longer[HRT_KIND_NAME_MAX + 2];
    memset(longer, 'x', sizeof(longer));
    CHECK_EQ(hrt_kind(client, "file.digest", 11, &number), HRT_OK);
    CHECK_EQ(number, 1);
    CHECK_EQ(hrt_queue(client, "default", 7, &number), HRT_OK);
    CHECK_EQ(number, 0);
    CHECK_EQ(hrt_kind(client, "file.dig", 8, &number), HRT_EKIND);
    CHECK(peer_error_says("kind \"file.dig\" is not among the 2"));
    CHECK_EQ(hrt_queue(client, "other", 5, &number), HRT_EQUEUE);
    CHECK_EQ(hrt_kind(client, "", 0, &number), HRT_ENAME);
    CHECK_EQ(hrt_kind(client, "a\nb", 3, &number), HRT_ENAME);
    CHECK_EQ(hrt_kind(client, longer, HRT_KIND_NAME_MAX + 1, &number), HRT_ENAME);
    CHECK_EQ(hrt_kind(client, longer, HRT_KIND_NAME_MAX, &number), HRT_EKIND);
    peer_name(end.page->kinds[2].text, "late");
    hrt_store_release_u32(&end.page->kind_count, 3);
    CHECK_EQ(hrt_kind(client, "late", 4, &number), HRT_OK);
    CHECK_EQ(number, 2);
    CHECK(strcmp(hrt_kind_name(client, 2), "late") == 0);
    CHECK(hrt_kind_name(client, 3) == NULL);
    CHECK(strcmp(hrt_queue_name(client, 0), "default") == 0);
    hrt_detach(client);
    peer_close(&end);
}

static void count_pump(void *context)
{
    *(int *)context += 1;
}

static void a_local_client_pumps_instead_of_waking(void)
{
    peer end;
    int pumps = 0;
    peer_open(&end);
    const hrt_client_local local = {
        .lane = end.lane,
        .page = end.page,
        .log_directory = end.fds[HRT_FD_LOG],
        .event_fd = end.fds[HRT_FD_EVENT],
        .pump = count_pump,
        .context = &pumps,
    };
    hrt_client *client = NULL;
    CHECK_EQ(hrt_client_local_new(&local, &client), HRT_OK);
    const hrt_spec spec = {.kind = 0};
    uint64_t ticket = 0;
    end.lane->submit_park = HRT_PARK_FUTEX;
    CHECK_EQ(hrt_enqueue(client, &spec, 1, 0, &ticket), HRT_OK);
    CHECK_EQ(pumps, 1);
    CHECK_EQ(end.lane->submit_park, HRT_PARK_FUTEX);
    peer_reply(&end, 8);
    CHECK_EQ(hrt_wait(client, 1, 0), HRT_OK);
    hrt_detach(client);
    CHECK_EQ(end.lane->detached, 1);
    CHECK(fcntl(end.fds[HRT_FD_LOG], F_GETFD) >= 0); /* stays the runtime's */
    peer_close(&end);
}

int main(void)
{
    TAP_LIST(TEST(a_hello_brings_a_lane), TEST(a_refusal_is_told_in_the_runtimes_words),
             TEST(odd_welcomes_are_refused), TEST(silence_and_absence_are_told_apart),
             TEST(callers_of_other_headers_are_refused), TEST(odd_inheritances_are_refused),
             TEST(a_lane_of_another_version_is_refused), TEST(names_are_found_also_when_new),
             TEST(a_local_client_pumps_instead_of_waking));
}
