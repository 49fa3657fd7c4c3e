//! A producer that does what it is told; tests/produce/c/produce.c describes its input and output.
//!
//! `produce-rust SOCKET`

use std::io::BufRead;
use std::time::Duration;

use hybridrt::{Client, Detail, Error, NewJob};
use hybridrt_sys as sys;
use serde_json::json;

const CODES: [(i32, &str); 13] = [
    (sys::HRT_EFULL, "HRT_EFULL"),
    (sys::HRT_ELOGFULL, "HRT_ELOGFULL"),
    (sys::HRT_ENOSPC, "HRT_ENOSPC"),
    (sys::HRT_ETOOLARGE, "HRT_ETOOLARGE"),
    (sys::HRT_EKIND, "HRT_EKIND"),
    (sys::HRT_EQUEUE, "HRT_EQUEUE"),
    (sys::HRT_ENAME, "HRT_ENAME"),
    (sys::HRT_EPAUSED, "HRT_EPAUSED"),
    (sys::HRT_ETIMEOUT, "HRT_ETIMEOUT"),
    (sys::HRT_ECLOSED, "HRT_ECLOSED"),
    (sys::HRT_EREACH, "HRT_EREACH"),
    (sys::HRT_EPERM, "HRT_EPERM"),
    (sys::HRT_EVERSION, "HRT_EVERSION"),
];

fn code_of(error: &Error) -> &'static str {
    let status = error.detail().map_or(0, Detail::status);
    let known = CODES.iter().find(|(number, _)| *number == status);
    known.map_or("HYBRIDRT", |(_, code)| code)
}

fn answer(ids: &[u64], error: Option<&Error>) {
    let code = error.map_or("", code_of);
    let message = error.map_or_else(String::new, Error::to_string);
    println!("{}", json!({"ids": ids, "code": code, "message": message}));
}

fn unhex(text: &str) -> String {
    let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap_or(b'?');
    let bytes = (0..text.len()).step_by(2).map(byte).collect();
    String::from_utf8(bytes).unwrap_or_default()
}

fn produce(client: &Client, fields: &[&str]) {
    let (kind, queue, key) = (unhex(fields[0]), unhex(fields[1]), unhex(fields[2]));
    let number = |text: &str| text.parse::<usize>().unwrap_or(0);
    let payload = vec![0_u8; number(fields[3])];
    let block_ms = number(fields[5]) as u64;
    let job = || {
        let job = NewJob::new(&kind, &payload).queue(&queue).key(&key);
        if block_ms > 0 {
            job.block(Duration::from_millis(block_ms))
        } else {
            job
        }
    };
    let answers = client.enqueue_many((0..number(fields[4])).map(|_| job()));
    let ids: Vec<u64> = answers
        .iter()
        .map(|one| *one.as_ref().unwrap_or(&0))
        .collect();
    answer(&ids, answers.iter().find_map(|one| one.as_ref().err()));
}

fn main() -> Result<(), Error> {
    let socket = std::env::args().nth(1).unwrap_or_default();
    let client = match Client::builder()
        .address(socket)
        .name("produce-rust")
        .connect()
    {
        Ok(client) => client,
        Err(error) => {
            answer(&[], Some(&error));
            return Err(error);
        }
    };
    answer(&[], None);
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let fields: Vec<&str> = line.split('\t').collect();
        if fields.len() == 6 {
            produce(&client, &fields);
        }
    }
    Ok(())
}
