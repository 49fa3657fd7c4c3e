// This file is the border to C: the only one that imports "C" and the only one that uses unsafe.
// Every function here is a thin cover over one function of hybridrt.h; policy lives elsewhere.

package hybridrt

/*
#cgo pkg-config: hybridrt
#cgo noescape hrt_enqueue_wait
#cgo nocallback hrt_enqueue_wait
#cgo noescape hrt_fetch
#cgo nocallback hrt_fetch
#cgo noescape hrt_settle
#cgo nocallback hrt_settle
#cgo noescape hrt_poll
#cgo nocallback hrt_poll
#cgo noescape hrt_kind
#cgo nocallback hrt_kind
#cgo noescape hrt_queue
#cgo nocallback hrt_queue
#cgo noescape hrt_progress
#cgo nocallback hrt_progress
#cgo noescape hrt_last_error
#cgo nocallback hrt_last_error
#cgo noescape clock_gettime
#cgo nocallback clock_gettime

#include <stdlib.h>
#include <time.h>
#include <hybridrt/hybridrt.h>
*/
import "C"

import (
	"reflect"
	"runtime"
	"strings"
	"sync/atomic"
	"time"
	"unsafe"
)

const (
	kindNameMax = C.HRT_KIND_NAME_MAX
	kindsMax    = C.HRT_KINDS_MAX
	keyMax      = C.HRT_KEY_MAX
	metaMax     = C.HRT_META_MAX
	payloadMax  = C.HRT_PAYLOAD_MAX
	resultMax   = C.HRT_RESULT_MAX
	errorMax    = C.HRT_ERROR_MAX
	noteMax     = C.HRT_NOTE_MAX
	followMax   = C.HRT_FOLLOW_MAX
	traceSize   = C.HRT_TRACE_SIZE
	unset       = C.HRT_NONE

	// followOverhead is what one follow-up job adds to its data in the lane.
	followOverhead = 64
	// settleOverhead is what one settle adds to its data in the lane.
	settleOverhead = 64
	// backOff as a delay asks for the queue's own back-off.
	backOff = ^uint64(0)

	sentenceSize = 512 // bytes of the longest error sentence read from C
)

// outcome is how a handler ended an attempt.
type outcome uint8

const (
	outcomeOK        outcome = C.HRT_OUTCOME_OK
	outcomeRetry     outcome = C.HRT_OUTCOME_RETRY
	outcomeSnooze    outcome = C.HRT_OUTCOME_SNOOZE
	outcomeDiscard   outcome = C.HRT_OUTCOME_DISCARD
	outcomeDead      outcome = C.HRT_OUTCOME_DEAD
	outcomeReturned  outcome = C.HRT_OUTCOME_RETURNED
	outcomeLost      outcome = C.HRT_OUTCOME_LOST
	outcomeTimeout   outcome = C.HRT_OUTCOME_TIMEOUT
	outcomeCancelled outcome = C.HRT_OUTCOME_CANCELLED
)

// State is where a job is in its life. The last five are final.
type State int

// The states of a job.
const (
	StateScheduled State = C.HRT_JOB_SCHEDULED
	StateReady     State = C.HRT_JOB_READY
	StateRunning   State = C.HRT_JOB_RUNNING
	StateRetrying  State = C.HRT_JOB_RETRYING
	StateCompleted State = C.HRT_JOB_COMPLETED
	StateDead      State = C.HRT_JOB_DEAD
	StateCancelled State = C.HRT_JOB_CANCELLED
	StateExpired   State = C.HRT_JOB_EXPIRED
	StateDiscarded State = C.HRT_JOB_DISCARDED
)

const (
	statusOK        = C.HRT_OK
	statusInvalid   = C.HRT_EINVAL
	statusIO        = C.HRT_EIO
	statusNoSpace   = C.HRT_ENOSPC
	statusFull      = C.HRT_EFULL
	statusLogFull   = C.HRT_ELOGFULL
	statusTimeout   = C.HRT_ETIMEOUT
	statusTooLarge  = C.HRT_ETOOLARGE
	statusKind      = C.HRT_EKIND
	statusQueue     = C.HRT_EQUEUE
	statusName      = C.HRT_ENAME
	statusVersion   = C.HRT_EVERSION
	statusClosed    = C.HRT_ECLOSED
	statusDraining  = C.HRT_EDRAIN
	statusNotFound  = C.HRT_ENOTFOUND
	statusStale     = C.HRT_ESTALE
	statusState     = C.HRT_ESTATE
	statusDenied    = C.HRT_EPERM
	statusReach     = C.HRT_EREACH
	statusLimit     = C.HRT_ELIMIT
	statusAgain     = C.HRT_EAGAIN
	statusGone      = C.HRT_EGONE
	statusPaused    = C.HRT_EPAUSED
	statusForked    = C.HRT_EFORK
	statusSystem    = C.HRT_ESYSTEM
	noticeCancel    = C.HRT_DELIVERY_CANCEL
	noticeRefused   = C.HRT_DELIVERY_REFUSED
	noticeResult    = C.HRT_DELIVERY_RESULT
	histogramPlaces = C.HRT_HISTOGRAM_BUCKETS
)

// native is one attached client of the C library.
type native struct {
	client *C.hrt_client
}

// call runs a C function that returns a status and turns a failure into an error with the
// library's sentence, which belongs to the thread: hence the lock.
func call(function func() C.int) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	status := int(function())
	if status == statusOK {
		return nil
	}
	var sentence [sentenceSize]C.char
	C.hrt_last_error(&sentence[0], sentenceSize)
	return statusError(status, C.GoString(&sentence[0]))
}

// statusText is the library's general text for a status.
func statusText(status int) string {
	return C.GoString(C.hrt_strerror(C.int(status)))
}

func libraryVersion() string {
	return C.GoString(C.hrt_version())
}

func monotonicNS() uint64 {
	return uint64(C.hrt_monotonic_ns())
}

func monotonic() time.Duration {
	var now C.struct_timespec
	C.clock_gettime(C.CLOCK_MONOTONIC, &now)
	return time.Duration(now.tv_sec)*time.Second + time.Duration(now.tv_nsec)
}

// optionalString makes a C string, or NULL of an empty one. The caller frees it.
func optionalString(text string) *C.char {
	if text == "" {
		return nil
	}
	return C.CString(text)
}

func attachNative(options AttachOptions) (*native, error) {
	address := optionalString(options.Address)
	defer C.free(unsafe.Pointer(address))
	name := optionalString(options.Name)
	defer C.free(unsafe.Pointer(name))
	made := &native{}
	request := C.hrt_attach_options{
		struct_size:     C.sizeof_hrt_attach_options,
		abi_version:     C.HRT_ABI_VERSION,
		address:         address,
		name:            name,
		timeout_ns:      C.int64_t(options.Timeout),
		submit_capacity: C.uint32_t(options.SubmitCapacity),
	}
	err := call(func() C.int { return C.hrt_attach(&request, &made.client) })
	if err != nil {
		return nil, err
	}
	return made, nil
}

func (n *native) detach() {
	C.hrt_detach(n.client)
	n.client = nil
}

func (n *native) incarnation() uint64 { return uint64(C.hrt_incarnation(n.client)) }

func (n *native) interrupt() { C.hrt_interrupt(n.client) }

func (n *native) draining() bool { return C.hrt_draining(n.client) != 0 }

func (n *native) unitMax() int { return int(C.hrt_unit_max(n.client)) }

func (n *native) kind(name string) (uint16, error) {
	var number C.uint16_t
	err := call(func() C.int {
		return C.hrt_kind(n.client, (*C.char)(stringPointer(name)), C.size_t(len(name)), &number)
	})
	return uint16(number), err
}

func (n *native) queue(name string) (uint16, error) {
	var number C.uint16_t
	err := call(func() C.int {
		return C.hrt_queue(n.client, (*C.char)(stringPointer(name)), C.size_t(len(name)), &number)
	})
	return uint16(number), err
}

// stringPointer is the address of a string's bytes; C must not keep it.
func stringPointer(text string) unsafe.Pointer {
	return unsafe.Pointer(unsafe.StringData(text))
}

func (n *native) kindName(number uint16) string {
	return C.GoString(C.hrt_kind_name(n.client, C.uint16_t(number)))
}

func (n *native) queueName(number uint16) string {
	return C.GoString(C.hrt_queue_name(n.client, C.uint16_t(number)))
}

// registration is what a worker tells the runtime about itself.
type registration struct {
	kinds       []string
	version     string
	concurrency int
	credit      int
}

func (n *native) register(about registration) error {
	names := newArena()
	defer names.free()
	list := names.take(len(about.kinds) * int(unsafe.Sizeof((*C.char)(nil))))
	pointers := unsafe.Slice((**C.char)(list), len(about.kinds))
	for i, kind := range about.kinds {
		pointers[i] = (*C.char)(names.copy(append([]byte(kind), 0)))
	}
	request := (*C.hrt_register_options)(names.take(C.sizeof_hrt_register_options))
	request.kinds = (**C.char)(list)
	request.language = (*C.char)(names.copy([]byte("go\x00")))
	request.version = (*C.char)(names.copy(append([]byte(about.version), 0)))
	request.kind_count = C.uint32_t(len(about.kinds))
	request.concurrency = C.uint32_t(about.concurrency)
	request.credit = C.uint32_t(about.credit)
	return call(func() C.int { return C.hrt_register(n.client, request) })
}

func (n *native) extend(job, token uint64, more time.Duration) error {
	return call(func() C.int {
		return C.hrt_extend(n.client, C.uint64_t(job), C.uint64_t(token), C.uint64_t(more))
	})
}

func (n *native) save(job, token uint64, state []byte) error {
	return call(func() C.int {
		return C.hrt_save(n.client, C.uint64_t(job), C.uint64_t(token),
			unsafe.Pointer(unsafe.SliceData(state)), C.size_t(len(state)))
	})
}

func (n *native) progress(job, token uint64, permille int, note string) error {
	return call(func() C.int {
		return C.hrt_progress(n.client, C.uint64_t(job), C.uint64_t(token),
			C.uint32_t(permille), (*C.char)(stringPointer(note)), C.size_t(len(note)))
	})
}

func (n *native) watch(job uint64) error {
	return call(func() C.int { return C.hrt_watch(n.client, C.uint64_t(job)) })
}

func (n *native) cancel(job uint64) error {
	return call(func() C.int { return C.hrt_cancel(n.client, C.uint64_t(job)) })
}

// arena is C memory that is given out piece by piece and given up at once. Structs that C reads
// live here, so that no pointer into the Go heap ever crosses the border inside a struct.
type arena struct {
	block unsafe.Pointer
	size  int
	used  int
	full  []unsafe.Pointer // earlier blocks, still referred to
}

const (
	arenaSizeMin = 4096
	arenaSizeMax = 1 << 20 // bytes that reset keeps
)

func newArena() *arena { return &arena{} }

// take gives size zeroed bytes, aligned for any struct.
func (a *arena) take(size int) unsafe.Pointer {
	size = (size + 7) &^ 7
	if a.used+size > a.size {
		if a.block != nil {
			a.full = append(a.full, a.block)
		}
		a.size = max(arenaSizeMin, 2*a.size, size)
		a.block = C.malloc(C.size_t(a.size))
		a.used = 0
	}
	place := unsafe.Add(a.block, a.used)
	a.used += size
	// Cleared as bytes first: a later store of a pointer must not find old data in its place,
	// which the garbage collector's write barrier would take for a pointer.
	clear(unsafe.Slice((*byte)(place), size))
	return place
}

// copy gives a C copy of data, or NULL of nothing.
func (a *arena) copy(data []byte) unsafe.Pointer {
	if len(data) == 0 {
		return nil
	}
	place := a.take(len(data))
	copy(unsafe.Slice((*byte)(place), len(data)), data)
	return place
}

// reset forgets everything and keeps the newest block for the next round, unless it is huge.
func (a *arena) reset() {
	for _, block := range a.full {
		C.free(block)
	}
	a.full = a.full[:0]
	a.used = 0
	if a.size > arenaSizeMax {
		C.free(a.block)
		a.block, a.size = nil, 0
	}
}

func (a *arena) free() {
	a.reset()
	C.free(a.block)
	a.block, a.size = nil, 0
}

// specs puts jobs to be enqueued into the arena.
func (a *arena) specs(jobs []spec) *C.hrt_spec {
	if len(jobs) == 0 {
		return nil
	}
	first := (*C.hrt_spec)(a.take(len(jobs) * C.sizeof_hrt_spec))
	places := unsafe.Slice(first, len(jobs))
	for i := range places {
		a.fill(&places[i], &jobs[i])
	}
	return first
}

func (a *arena) fill(place *C.hrt_spec, job *spec) {
	place.payload = a.copy(job.payload)
	place.key = a.copy(job.key)
	place.meta = a.copy(job.meta)
	place.trace = (*C.uint8_t)(a.copy(job.trace))
	place.delay_ns = C.uint64_t(job.delayNS)
	place.due_ns = C.uint64_t(job.dueNS)
	place.payload_length = C.uint32_t(len(job.payload))
	place.timeout_ms = C.uint32_t(job.timeoutMS)
	place.result_ttl_ms = C.uint32_t(job.resultTTLMS)
	place.expires_ms = C.uint32_t(job.expiresMS)
	place.kind = C.uint16_t(job.kind)
	place.queue = C.uint16_t(job.queue)
	place.meta_length = C.uint16_t(len(job.meta))
	place.max_attempts = C.uint16_t(job.maxAttempts)
	place.key_length = C.uint8_t(len(job.key))
	if job.block {
		place.block = 1
	}
}

// enqueueWait enqueues jobs and waits for their answers: job ids, or negative statuses. The error
// is the first of them, with its sentence.
func (n *native) enqueueWait(memory *arena, jobs []spec, limit time.Duration) ([]int64, error) {
	first := memory.specs(jobs)
	answers := make([]int64, len(jobs))
	err := call(func() C.int {
		return C.hrt_enqueue_wait(n.client, first, C.uint32_t(len(jobs)), C.int64_t(limit),
			(*C.int64_t)(unsafe.Pointer(&answers[0])))
	})
	return answers, err
}

// rawJob is a job as C hands it over.
type rawJob = C.hrt_job

// batch is room for jobs in C memory.
type batch struct {
	jobs  []rawJob
	count int
	next  atomic.Int64 // the first job that nobody has taken
	users atomic.Int64 // runners that still look at it
}

func newBatch(size int) *batch {
	memory := C.calloc(C.size_t(size), C.sizeof_hrt_job)
	return &batch{jobs: unsafe.Slice((*rawJob)(memory), size)}
}

func (b *batch) free() {
	C.free(unsafe.Pointer(unsafe.SliceData(b.jobs)))
	b.jobs = nil
}

// fetch fills the batch. The status is returned as it is: nothing to do is no error.
func (n *native) fetch(b *batch, limit time.Duration) int {
	var count C.uint32_t
	status := C.hrt_fetch(n.client, unsafe.SliceData(b.jobs), C.uint32_t(len(b.jobs)),
		C.int64_t(limit), &count)
	b.count = int(count)
	b.next.Store(0)
	return int(status)
}

// markStarted tells the runtime that the handler begins: from here on a crash counts. It is the
// store that hrt_job_started makes, without the call.
func markStarted(raw *rawJob) {
	atomic.StoreUint64((*uint64)(unsafe.Pointer(raw.started)), uint64(raw.id))
}

func view(start *C.uint8_t, length int) []byte {
	if length == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(start)), length)
}

func payloadOf(raw *rawJob) []byte { return view(raw.payload, int(raw.payload_length)) }
func keyOf(raw *rawJob) []byte     { return view(raw.key, int(raw.key_length)) }
func metaOf(raw *rawJob) []byte    { return view(raw.meta, int(raw.meta_length)) }

func savedOf(raw *rawJob) []byte { return view(raw.saved, int(raw.saved_length)) }

func traceOf(raw *rawJob) []byte {
	if raw.trace == nil {
		return nil
	}
	return view(raw.trace, traceSize)
}

// settleBuffer gathers ends of attempts for one call.
type settleBuffer struct {
	memory  arena
	entries []C.hrt_settlement
	count   int
	bytes   int // that the gathered settles need in the lane
}

func newSettleBuffer(size int) *settleBuffer {
	memory := C.calloc(C.size_t(size), C.sizeof_hrt_settlement)
	return &settleBuffer{entries: unsafe.Slice((*C.hrt_settlement)(memory), size)}
}

func (b *settleBuffer) free() {
	b.memory.free()
	C.free(unsafe.Pointer(unsafe.SliceData(b.entries)))
	b.entries = nil
}

func (b *settleBuffer) isFull() bool { return b.count == len(b.entries) }

func (b *settleBuffer) reset() {
	b.memory.reset()
	b.count, b.bytes = 0, 0
}

func (b *settleBuffer) add(raw *rawJob, end *ending, size int) {
	place := &b.entries[b.count]
	place.job = raw.id
	place.token = raw.token
	place.data = b.memory.copy(end.data)
	place.follow = b.memory.specs(end.follow)
	place.delay_ns = C.uint64_t(end.delayNS)
	place.data_length = C.uint32_t(len(end.data))
	place.follow_count = C.uint32_t(len(end.follow))
	place.outcome = C.uint8_t(end.outcome)
	b.count++
	b.bytes += size
}

func (n *native) settle(b *settleBuffer) error {
	return call(func() C.int {
		return C.hrt_settle(n.client, unsafe.SliceData(b.entries), C.uint32_t(b.count))
	})
}

// notice is news from the runtime other than a job to run.
type notice struct {
	job, token uint64
	kind       uint32 // noticeCancel, noticeRefused or noticeResult
	code       int
	data       []byte
}

const noticeBatch = 64 // most notices of one call

// noticeBuffer is room for notices in C memory.
type noticeBuffer struct {
	places []C.hrt_notice
}

func newNoticeBuffer() *noticeBuffer {
	memory := C.calloc(noticeBatch, C.sizeof_hrt_notice)
	return &noticeBuffer{places: unsafe.Slice((*C.hrt_notice)(memory), noticeBatch)}
}

func (b *noticeBuffer) free() {
	C.free(unsafe.Pointer(unsafe.SliceData(b.places)))
	b.places = nil
}

// poll waits for notices and gives copies of them.
func (n *native) poll(b *noticeBuffer, limit time.Duration) ([]notice, int) {
	var count C.uint32_t
	status := C.hrt_poll(n.client, unsafe.SliceData(b.places), noticeBatch, C.int64_t(limit),
		&count)
	if status != statusOK {
		return nil, int(status)
	}
	found := make([]notice, count)
	for i := range found {
		place := &b.places[i]
		found[i] = notice{
			job:   uint64(place.job),
			token: uint64(place.token),
			kind:  uint32(place._type),
			code:  int(place.code),
			data:  C.GoBytes(unsafe.Pointer(place.data), C.int(place.data_length)),
		}
		C.hrt_notice_free(place)
	}
	return found, statusOK
}

func histogramPlace(value time.Duration) int {
	return int(C.hrt_histogram_bucket(C.uint64_t(value)))
}

func histogramValue(place int) time.Duration {
	return time.Duration(C.hrt_histogram_value(C.uint32_t(place)))
}

func loadCounter(place *C.uint64_t) uint64 {
	return atomic.LoadUint64((*uint64)(unsafe.Pointer(place)))
}

// stats reads the page of counters, which the runtime goes on writing meanwhile.
func (n *native) stats() Stats {
	page := C.hrt_client_page(n.client)
	runtimeCounters := &page.runtime
	found := Stats{
		Jobs:      loadCounter(&runtimeCounters.jobs),
		Sequence:  loadCounter(&runtimeCounters.sequence),
		Epoch:     loadCounter(&runtimeCounters.epoch),
		Bytes:     loadCounter(&runtimeCounters.bytes),
		Syncs:     loadCounter(&runtimeCounters.syncs),
		Clients:   loadCounter(&runtimeCounters.lanes),
		Refused:   loadCounter(&runtimeCounters.refused),
		Rescues:   loadCounter(&runtimeCounters.rescues),
		Recovered: readHistogram(&runtimeCounters.recovery),
	}
	for number := range page.queues {
		if name := n.queueName(uint16(number)); name != "" {
			found.Queues = append(found.Queues, readQueue(name, &page.queue_counters[number]))
		}
	}
	for number := range page.kinds {
		if name := n.kindName(uint16(number)); name != "" {
			found.Kinds = append(found.Kinds, readKind(name, &page.kind_counters[number]))
		}
	}
	return found
}

func readQueue(name string, counters *C.hrt_queue_counters) QueueStats {
	return QueueStats{
		Name:      name,
		Enqueued:  loadCounter(&counters.enqueued),
		Rejected:  loadCounter(&counters.rejected),
		Completed: loadCounter(&counters.completed),
		Retried:   loadCounter(&counters.retried),
		Snoozed:   loadCounter(&counters.snoozed),
		Discarded: loadCounter(&counters.discarded),
		Cancelled: loadCounter(&counters.cancelled),
		Expired:   loadCounter(&counters.expired),
		Crashed:   loadCounter(&counters.crashed),
		TimedOut:  loadCounter(&counters.timed_out),
		Scheduled: loadCounter(&counters.scheduled),
		Ready:     loadCounter(&counters.ready),
		Running:   loadCounter(&counters.running),
		Retrying:  loadCounter(&counters.retrying),
		Dead:      loadCounter(&counters.dead),
		Retained:  loadCounter(&counters.retained),
		Paused:    loadCounter(&counters.paused) != 0,
	}
}

func readKind(name string, counters *C.hrt_kind_counters) KindStats {
	return KindStats{
		Name:      name,
		Leased:    loadCounter(&counters.leased),
		Completed: loadCounter(&counters.completed),
		Failed:    loadCounter(&counters.failed),
		Workers:   loadCounter(&counters.workers),
		Wait:      readHistogram(&counters.wait),
		Run:       readHistogram(&counters.run),
	}
}

func readHistogram(from *C.hrt_histogram) Histogram {
	into := Histogram{
		Count: loadCounter(&from.count),
		Sum:   time.Duration(loadCounter(&from.sum_ns)),
		Max:   time.Duration(loadCounter(&from.max_ns)),
	}
	for place := range from.buckets {
		into.buckets[place] = loadCounter(&from.buckets[place])
	}
	return into
}

// abiTypes lists the structs of abi.h as cgo sees them, for the test that compares them with the
// golden layout.
func abiTypes() map[string]reflect.Type {
	found := map[string]reflect.Type{}
	for _, value := range []any{
		C.hrt_segment{}, C.hrt_durable_mark{}, C.hrt_record{},
		C.hrt_enqueue_body{}, C.hrt_lease_body{},
		C.hrt_settle_entry{}, C.hrt_control_body{}, C.hrt_queue_settings{}, C.hrt_epoch_body{},
		C.hrt_checkpoint_body{}, C.hrt_keep_body{}, C.hrt_lane{}, C.hrt_submit{},
		C.hrt_submit_enqueue{}, C.hrt_submit_settle{}, C.hrt_submit_register{},
		C.hrt_submit_job{}, C.hrt_submit_space{}, C.hrt_submit_progress{},
		C.hrt_submit_extend{}, C.hrt_delivery{}, C.hrt_histogram{}, C.hrt_queue_counters{},
		C.hrt_kind_counters{}, C.hrt_runtime_counters{}, C.hrt_name{}, C.hrt_page{},
		C.hrt_hello{}, C.hrt_welcome{}, C.hrt_saved_body{}, C.hrt_lanes_entry{},
		C.hrt_lane_progress{}, C.hrt_submit_save{},
	} {
		kind := reflect.TypeOf(value)
		found[strings.TrimPrefix(kind.Name(), "_Ctype_struct_")] = kind
	}
	return found
}

// abiValues are the values of abi.h that this package builds on, by their names there.
func abiValues() map[string]int {
	return map[string]int{
		"HRT_ABI_VERSION": C.HRT_ABI_VERSION, "HRT_FORMAT_VERSION": C.HRT_FORMAT_VERSION,
		"HRT_KIND_NAME_MAX": kindNameMax, "HRT_KINDS_MAX": kindsMax, "HRT_KEY_MAX": keyMax,
		"HRT_META_MAX": metaMax, "HRT_PAYLOAD_MAX": payloadMax, "HRT_RESULT_MAX": resultMax,
		"HRT_ERROR_MAX": errorMax, "HRT_NOTE_MAX": noteMax, "HRT_FOLLOW_MAX": followMax,
		"HRT_TRACE_SIZE": traceSize, "HRT_HISTOGRAM_BUCKETS": histogramPlaces,
		"HRT_OUTCOME_OK": int(outcomeOK), "HRT_OUTCOME_RETRY": int(outcomeRetry),
		"HRT_OUTCOME_SNOOZE": int(outcomeSnooze), "HRT_OUTCOME_DISCARD": int(outcomeDiscard),
		"HRT_OUTCOME_DEAD": int(outcomeDead), "HRT_OUTCOME_RETURNED": int(outcomeReturned),
		"HRT_OUTCOME_LOST": int(outcomeLost), "HRT_OUTCOME_TIMEOUT": int(outcomeTimeout),
		"HRT_OUTCOME_CANCELLED": int(outcomeCancelled),
		"HRT_JOB_SCHEDULED":     int(StateScheduled), "HRT_JOB_READY": int(StateReady),
		"HRT_JOB_RUNNING": int(StateRunning), "HRT_JOB_RETRYING": int(StateRetrying),
		"HRT_JOB_COMPLETED": int(StateCompleted), "HRT_JOB_DEAD": int(StateDead),
		"HRT_JOB_CANCELLED": int(StateCancelled), "HRT_JOB_EXPIRED": int(StateExpired),
		"HRT_JOB_DISCARDED": int(StateDiscarded),
		"HRT_OK":            statusOK, "HRT_EINVAL": statusInvalid, "HRT_EIO": statusIO,
		"HRT_ENOSPC": statusNoSpace, "HRT_EFULL": statusFull, "HRT_ELOGFULL": statusLogFull,
		"HRT_ETIMEOUT": statusTimeout, "HRT_ETOOLARGE": statusTooLarge, "HRT_EKIND": statusKind,
		"HRT_EQUEUE": statusQueue, "HRT_ENAME": statusName, "HRT_EVERSION": statusVersion,
		"HRT_ECLOSED": statusClosed, "HRT_EDRAIN": statusDraining,
		"HRT_ENOTFOUND": statusNotFound, "HRT_ESTALE": statusStale, "HRT_ESTATE": statusState,
		"HRT_EPERM": statusDenied, "HRT_EREACH": statusReach, "HRT_ELIMIT": statusLimit,
		"HRT_EAGAIN": statusAgain, "HRT_EGONE": statusGone, "HRT_EPAUSED": statusPaused,
		"HRT_EFORK": statusForked, "HRT_ESYSTEM": statusSystem,
		"HRT_DELIVERY_CANCEL": noticeCancel, "HRT_DELIVERY_REFUSED": noticeRefused,
		"HRT_DELIVERY_RESULT": noticeResult,
	}
}
