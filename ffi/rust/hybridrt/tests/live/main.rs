//! Client and worker against a real runtime.

mod host;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::{Duration, SystemTime};

use host::Host;
use hybridrt::{
    BoxError, Client, Context, Ended, Error, Job, NewJob, NonRetryable, Outcome, StopToken,
    TraceContext, Worker,
};

const PATIENCE: Duration = Duration::from_secs(20);
const WORK: &str = "test.work";

type Answer = Result<Outcome, BoxError>;

/// Stops a worker when the test ends, also when it fails.
struct Stop<'t>(&'t StopToken);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// Runs a worker beside `test`, and stops it in the end.
fn beside<R>(worker: &Worker, test: impl FnOnce() -> R) -> R {
    let token = StopToken::new();
    thread::scope(|scope| {
        let running = scope.spawn(|| worker.run_until(&token));
        let stop = Stop(&token);
        let result = test();
        drop(stop);
        running.join().unwrap().unwrap();
        result
    })
}

fn with_worker(
    concurrency: usize,
    handler: impl Fn(&Job<'_>, &Context<'_>) -> Answer + Send + Sync + 'static,
    test: impl FnOnce(&Client),
) {
    let host = Host::start();
    let client = host.client();
    let worker = host
        .worker()
        .concurrency(concurrency)
        .handle(WORK, handler)
        .build()
        .unwrap();
    beside(&worker, || test(&client));
    drop((worker, client));
}

fn end_of(client: &Client, payload: &str) -> Ended {
    client
        .enqueue(WORK, payload)
        .send()
        .unwrap()
        .wait(PATIENCE)
        .unwrap()
}

#[test]
fn each_way_to_end_reaches_the_producer() {
    let handler = |job: &Job<'_>, _: &Context<'_>| match job.payload() {
        b"done" => Ok(Outcome::Done),
        b"result" => Ok(Outcome::Result(b"r".to_vec())),
        b"retry" if job.attempt() < 3 => Ok(Outcome::RetryAfter(Duration::from_millis(1))),
        b"retry" => Ok(Outcome::Result(job.attempt().to_string().into_bytes())),
        b"discard" => Ok(Outcome::Discard("not wanted".into())),
        b"dead" => Ok(Outcome::Dead("hopeless".into())),
        b"fatal" => Err(NonRetryable::new("hopeless too").into()),
        b"fail" => Err(format!("attempt {} failed", job.attempt()).into()),
        b"panic" => panic!("attempt {} panicked", job.attempt()),
        _ => Ok(Outcome::Result(vec![b'x'; 65537])),
    };
    with_worker(1, handler, |client| {
        assert_eq!(end_of(client, "done"), Ended::Completed(vec![]));
        assert_eq!(end_of(client, "result"), Ended::Completed(b"r".to_vec()));
        assert_eq!(end_of(client, "retry"), Ended::Completed(b"3".to_vec()));
        assert_eq!(
            end_of(client, "discard"),
            Ended::Discarded("not wanted".into())
        );
        assert_eq!(end_of(client, "dead"), Ended::Dead("hopeless".into()));
        assert_eq!(end_of(client, "fatal"), Ended::Dead("hopeless too".into()));
        assert_eq!(
            end_of(client, "fail"),
            Ended::Dead("attempt 3 failed".into())
        );
        let Ended::Dead(text) = end_of(client, "panic") else {
            panic!("not dead")
        };
        assert!(text.starts_with("panic: attempt 3 panicked\nat "), "{text}");
        assert!(
            text.contains("tests/live/main.rs") && text.len() <= 4096,
            "{text}"
        );
        let Ended::Dead(text) = end_of(client, "large") else {
            panic!("not dead")
        };
        assert_eq!(text, "the result of 65537 bytes is over the limit of 65536");
    });
}

#[test]
fn a_snooze_uses_no_attempt() {
    let runs = AtomicU32::new(0);
    let handler = move |job: &Job<'_>, _: &Context<'_>| match runs.fetch_add(1, Ordering::Relaxed) {
        0 => Ok(Outcome::Snooze(Duration::from_millis(1))),
        1 => Ok(Outcome::SnoozeUntil(
            SystemTime::now() + Duration::from_millis(1),
        )),
        _ => Ok(Outcome::Result(job.attempt().to_string().into_bytes())),
    };
    with_worker(1, handler, |client| {
        assert_eq!(end_of(client, ""), Ended::Completed(b"1".to_vec()));
    });
}

#[test]
fn a_handler_sees_all_that_the_producer_said() {
    let trace = TraceContext::new([7; 16], [9; 8], 1);
    let handler = move |job: &Job<'_>, ctx: &Context<'_>| {
        assert_eq!(
            (job.kind(), job.queue(), job.key()),
            (WORK, "default", &b"k"[..])
        );
        assert_eq!((job.meta(), job.trace()), (&b"m"[..], Some(trace)));
        assert_eq!(
            (job.attempt(), job.max_attempts(), job.parent()),
            (1, 1, None)
        );
        assert!(ctx.deadline().is_some() && !ctx.is_cancelled() && job.token() > job.id());
        assert!(job.enqueued_at() <= SystemTime::now());
        ctx.extend(Duration::from_secs(60))?;
        ctx.progress(500, "half")?;
        Ok(Outcome::Result(job.payload().to_vec()))
    };
    with_worker(1, handler, |client| {
        let job = client
            .enqueue(WORK, "payload")
            .key("k")
            .meta("m")
            .trace(trace)
            .max_attempts(1);
        let job = job
            .time_limit(Duration::from_secs(30))
            .delay(Duration::from_millis(1));
        let ended = job.send().unwrap().wait(PATIENCE).unwrap();
        assert_eq!(ended, Ended::Completed(b"payload".to_vec()));
    });
}

#[test]
fn follow_up_jobs_come_with_the_end_of_their_parent_or_not_at_all() {
    let host = Host::start();
    let client = host.client();
    let (sender, receiver) = mpsc::channel();
    let worker = host.worker().handle(WORK, |job, ctx| {
        ctx.enqueue("test.follow", job.payload()).key("k").send()?;
        assert!(matches!(
            ctx.enqueue("no.such", "").send(),
            Err(Error::UnknownKind(_))
        ));
        let fails = job.payload() == b"fails" && job.attempt() == 1;
        if fails {
            Err("no".into())
        } else {
            Ok(Outcome::Done)
        }
    });
    let worker = worker
        .handle("test.follow", move |job, _| {
            sender.send((job.payload().to_vec(), job.parent()))?;
            Ok(Outcome::Done)
        })
        .build()
        .unwrap();
    beside(&worker, || {
        let sent = ["fails", "works"].map(|payload| {
            let job = client.enqueue(WORK, payload).send().unwrap();
            assert_eq!(job.wait(PATIENCE).unwrap(), Ended::Completed(vec![]));
            Ok((payload.as_bytes().to_vec(), Some(job.id())))
        });
        assert_eq!([(); 2].map(|()| receiver.recv_timeout(PATIENCE)), sent);
    });
    assert!(
        receiver.try_recv().is_err(),
        "the failed attempt enqueued something"
    );
    drop((worker, client));
}

/// The payloads of jobs in the order in which they begin.
type Begins = mpsc::Receiver<Vec<u8>>;

/// A handler that says when it begins. A "slow" job then does what `answer` says, which may wait
/// for the gate.
fn announced(
    answer: impl Fn(&Context<'_>, &mpsc::Receiver<()>) -> Answer + Send + Sync,
) -> (
    impl Fn(&Job<'_>, &Context<'_>) -> Answer + Send + Sync,
    Begins,
    mpsc::Sender<()>,
) {
    let (begun, begins) = mpsc::channel();
    let (gate, gates) = mpsc::channel();
    let (begun, gates) = (Mutex::new(begun), Mutex::new(gates));
    let handler = move |job: &Job<'_>, ctx: &Context<'_>| {
        begun.lock().unwrap().send(job.payload().to_vec())?;
        if job.payload() == b"slow" {
            answer(ctx, &gates.lock().unwrap())
        } else {
            Ok(Outcome::Done)
        }
    };
    (handler, begins, gate)
}

#[test]
fn a_running_job_is_told_that_it_is_cancelled() {
    let (handler, begins, _gate) = announced(|ctx, _| {
        assert!(!ctx.wait_cancelled(Duration::from_millis(1)));
        assert!(ctx.wait_cancelled(PATIENCE) && ctx.is_cancelled());
        Err("cancelled".into())
    });
    with_worker(1, handler, |client| {
        let job = client.enqueue(WORK, "slow").send().unwrap();
        begins.recv_timeout(PATIENCE).unwrap();
        job.cancel().unwrap();
        assert_eq!(job.wait(PATIENCE).unwrap(), Ended::Cancelled);
    });
}

#[test]
fn a_slow_job_does_not_hold_back_the_ends_of_others() {
    for concurrency in [1, 2] {
        let (handler, begins, gate) = announced(|_, gates| {
            gates.recv_timeout(3 * PATIENCE)?;
            Ok(Outcome::Done)
        });
        with_worker(concurrency, handler, |client| {
            // Many fast jobs first, so that the worker gets large batches.
            let fast = |_| NewJob::new(WORK, "fast");
            let warm_up = client.enqueue_many((0..5000).map(fast));
            assert!(warm_up.iter().all(Result::is_ok));
            let slow_in_the_middle = (0..100).map(fast).chain([NewJob::new(WORK, "slow")]);
            let tail = (0..100 * (concurrency - 1)).map(fast);
            let answers = client.enqueue_many(slow_in_the_middle.chain(tail));
            let ids: Vec<u64> = answers.into_iter().collect::<Result<_, _>>().unwrap();
            while begins.recv_timeout(PATIENCE).unwrap() != b"slow" {}
            for (index, &id) in ids.iter().enumerate().filter(|&(index, _)| index != 100) {
                let ended = client.job(id).wait(PATIENCE);
                assert!(ended.is_ok(), "job {index} of {concurrency}: {ended:?}");
            }
            gate.send(()).unwrap();
            assert_eq!(
                client.job(ids[100]).wait(PATIENCE).unwrap(),
                Ended::Completed(vec![])
            );
        });
    }
}

#[test]
fn a_drain_finishes_what_runs_and_gives_back_what_has_not_begun() {
    let (handler, begins, gate) = announced(|_, gates| {
        gates.recv_timeout(3 * PATIENCE)?;
        Ok(Outcome::Done)
    });
    let host = Host::start();
    let client = host.client();
    let worker = host
        .worker()
        .credit(64)
        .handle(WORK, handler)
        .build()
        .unwrap();
    let token = StopToken::new();
    thread::scope(|scope| {
        let _stop = Stop(&token);
        let slow = client.enqueue(WORK, "slow").send().unwrap();
        let running = scope.spawn(|| worker.run_until(&token));
        begins.recv_timeout(PATIENCE).unwrap();
        let later = client.enqueue(WORK, "later").send().unwrap();
        host.drain(worker.client());
        gate.send(()).unwrap();
        running.join().unwrap().unwrap();
        assert_eq!(slow.wait(PATIENCE).unwrap(), Ended::Completed(vec![]));
        assert!(matches!(later.wait(Duration::ZERO), Err(Error::Timeout(_))));
    });
    assert!(begins.try_recv().is_err(), "a job began after the drain");
    drop((worker, client));
}

#[test]
fn a_stop_gives_back_what_has_not_begun_and_leaves_the_worker_usable() {
    let host = Host::start();
    let client = host.client();
    let token = StopToken::new();
    let worker = host.worker().credit(64).handle(WORK, {
        let token = token.clone();
        move |job, _| {
            if job.payload() == b"stop" {
                token.stop();
            }
            Ok(Outcome::Done)
        }
    });
    let worker = worker.build().unwrap();
    let jobs = ["stop", "a", "b"].map(|payload| client.enqueue(WORK, payload).send().unwrap());
    worker.run_until(&token).unwrap();
    assert_eq!(jobs[0].wait(PATIENCE).unwrap(), Ended::Completed(vec![]));
    assert!(matches!(
        jobs[2].wait(Duration::ZERO),
        Err(Error::Timeout(_))
    ));
    beside(&worker, || {
        assert_eq!(jobs[2].wait(PATIENCE).unwrap(), Ended::Completed(vec![]));
    });
    drop((worker, client));
}

#[test]
fn what_cannot_be_enqueued_is_refused_with_a_reason() {
    let host = Host::start();
    let client = host.client();
    let send = |kind, queue, payload: &[u8]| {
        client
            .enqueue(kind, payload)
            .queue(queue)
            .send()
            .map(|_| ())
    };
    assert!(matches!(
        send("no.such", "default", b""),
        Err(Error::UnknownKind(_))
    ));
    assert!(matches!(
        send(WORK, "no-such", b""),
        Err(Error::UnknownQueue(_))
    ));
    assert!(matches!(send("", "default", b""), Err(Error::Invalid(_))));
    assert!(matches!(
        send(WORK, "default", &[0; 262_145]),
        Err(Error::TooLarge(_))
    ));
    assert!(matches!(
        client.enqueue(WORK, "").key(&[b'k'; 256]).send(),
        Err(Error::Invalid(_))
    ));
    send(WORK, "narrow", b"").unwrap();
    assert!(matches!(send(WORK, "narrow", b""), Err(Error::Full(_))));
    let blocked = client
        .enqueue(WORK, "")
        .queue("narrow")
        .block(Duration::from_millis(50))
        .send();
    assert!(
        matches!(blocked, Err(Error::Full(_) | Error::Timeout(_))),
        "{blocked:?}"
    );
    drop(client);
}

#[test]
fn of_many_jobs_each_gets_its_own_answer() {
    let host = Host::start();
    let client = host.client();
    let mut jobs: Vec<_> = (0..20_000).map(|_| NewJob::new(WORK, "fast")).collect();
    jobs.push(NewJob::new("no.such", ""));
    jobs.push(NewJob::new(WORK, "").queue("narrow"));
    jobs.push(NewJob::new(WORK, "").queue("narrow"));
    jobs.push(NewJob::new(WORK, "last"));
    let answers = client.enqueue_many(jobs);
    assert_eq!(answers.len(), 20_004);
    assert!(answers[..20_000].iter().all(Result::is_ok));
    let ids: Vec<u64> = answers.iter().flatten().copied().collect();
    assert!(ids.is_sorted(), "ids are in the order of the jobs");
    assert!(matches!(answers[20_000], Err(Error::UnknownKind(_))));
    assert!(answers[20_001].is_ok());
    assert!(
        matches!(answers[20_002], Err(Error::Full(_))),
        "{:?}",
        answers[20_002]
    );
    assert!(answers[20_003].is_ok());
    assert!(matches!(
        client.job(1 << 60).wait(PATIENCE),
        Err(Error::NotFound(_))
    ));
    drop(client);
}

#[test]
fn results_reach_all_who_wait_on_one_client() {
    let handler = |job: &Job<'_>, _: &Context<'_>| Ok(Outcome::Result(job.payload().to_vec()));
    with_worker(2, handler, |client| {
        thread::scope(|scope| {
            for number in 0..8 {
                let client = client.clone();
                scope.spawn(move || {
                    for round in 0..50 {
                        let payload = format!("{number}/{round}");
                        let ended = Ended::Completed(payload.clone().into_bytes());
                        assert_eq!(end_of(&client, &payload), ended);
                    }
                });
            }
        });
    });
}

#[test]
fn a_worker_ends_with_an_error_when_the_runtime_is_gone() {
    let host = Host::start();
    let worker = host
        .worker()
        .handle(WORK, |_, _| Ok(Outcome::Done))
        .build()
        .unwrap();
    thread::scope(|scope| {
        let running = scope.spawn(|| worker.run());
        drop(host);
        assert!(matches!(running.join().unwrap(), Err(Error::Closed(_))));
    });
}

#[test]
fn json_goes_in_and_out() {
    #[derive(serde::Serialize, serde::Deserialize)]
    struct Sum {
        numbers: Vec<u32>,
    }
    let host = Host::start();
    let client = host.client();
    let worker = host.worker().handle_json(WORK, |sum: Sum, _, _| {
        Outcome::json(&sum.numbers.iter().sum::<u32>())
    });
    let worker = worker.build().unwrap();
    beside(&worker, || {
        let job = client
            .enqueue_json(
                WORK,
                &Sum {
                    numbers: vec![1, 2, 3],
                },
            )
            .send()
            .unwrap();
        assert_eq!(job.wait(PATIENCE).unwrap().json::<u32>().unwrap(), 6);
        let Ended::Dead(text) = end_of(&client, "{") else {
            panic!("not dead")
        };
        assert!(
            text.starts_with("the payload of a test.work job: EOF"),
            "{text}"
        );
    });
    drop((worker, client));
}
