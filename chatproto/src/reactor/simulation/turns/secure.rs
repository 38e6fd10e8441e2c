//! The same where the crowd speaks TLS: a read of a part of a record gives nothing, and is no less work.

use std::io::{self, ErrorKind, Read, Write};
use std::net::IpAddr;

use rcgen::{CertificateParams, KeyPair};

use crate::tls::{ClientStream, ClientTls, ServerTls};

use super::super::super::Door;
use super::super::super::secure::ROUNDS;
use super::{CROWD, Entrance, LITTLE, MUCH, Stage};

/// One of the crowd: its socket, and what is between that and what it says.
struct Speaker {
    wire: usize,
    tls: ClientStream,
}

/// A client's end of a wire.
struct End<'a> {
    stage: &'a Stage,
    wire: usize,
}

impl Read for End<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.stage.world.network().read(self.wire, buffer) {
            0 => Err(ErrorKind::WouldBlock.into()),
            length => Ok(length),
        }
    }
}

impl Write for End<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stage.world.network().arrive(self.wire, bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Speaker {
    fn write(&mut self, stage: &Stage, bytes: &[u8]) {
        let written = self.tls.write(&mut End { stage, wire: self.wire }, bytes);
        assert_eq!(written.expect("TLS that was agreed upon"), bytes.len());
    }

    /// Reads what there is: an answer to it may have to go out.
    fn read(&mut self, stage: &Stage) {
        let mut buffer = vec![0; ClientStream::LEAST_BUFFER];
        let mut end = End { stage, wire: self.wire };
        while let Ok(1..) | Err(ErrorKind::Interrupted) =
            self.tls.read(&mut end, &mut buffer).map_err(|error| error.kind())
        {}
    }
}

#[test]
fn a_line_does_not_wait_for_a_crowd_whose_records_are_short() {
    // a read gives one or two of them, and there are more
    a_line_does_not_wait_for_a_crowd_that_sends_much_in_records_of(LITTLE / 4);
}

#[test]
fn a_line_does_not_wait_for_a_crowd_whose_records_are_long() {
    // most reads give nothing, as the record is not whole yet
    a_line_does_not_wait_for_a_crowd_that_sends_much_in_records_of(4 * LITTLE);
}

fn a_line_does_not_wait_for_a_crowd_that_sends_much_in_records_of(length: usize) {
    let mut stage = Stage::empty(None);
    let key = KeyPair::generate().expect("a key");
    let certificate = CertificateParams::new(vec!["chat.test".to_owned()])
        .and_then(|params| params.self_signed(&key))
        .expect("a certificate");
    let server = ServerTls::from_pem(certificate.pem().as_bytes(), key.serialize_pem().as_bytes())
        .expect("a key and its certificate");
    let client = ClientTls::fingerprint(server.fingerprint());
    let entrance = Entrance::Tls(Door::new(&server, false));
    let address = IpAddr::from([127, 0, 0, 1]);
    let mut crowd: Vec<_> = (0..CROWD)
        .map(|_| {
            let wire = stage.connect(entrance.clone());
            let tls = ClientStream::new(&client, None, address).expect("a peer's name");
            Speaker { wire, tls }
        })
        .collect();
    for one in &mut crowd {
        one.tls.flush(&mut End { stage: &stage, wire: one.wire }).expect("a hello");
    }
    stage.settle();
    for (number, one) in crowd.iter_mut().enumerate() {
        one.read(&stage);
        assert!(!one.tls.is_handshaking(), "the server has said what it has to say");
        one.write(&stage, format!("one of {number}\n").as_bytes());
    }
    stage.settle();
    stage.crowd = crowd.iter().map(|one| one.wire).collect();
    stage.hear();
    assert_eq!(stage.unread(), 0);

    let record = vec![b' '; length];
    for one in &mut crowd {
        for _ in 0..MUCH / length {
            one.write(&stage, &record);
        }
    }
    let mut left = stage.unread();
    let (all, of_each) = (left, left / CROWD);
    stage.turn_with_a_line();
    let mut before = std::mem::replace(&mut left, stage.unread());
    // a read goes to the socket some times, for half of what it may give, and a few more where calls
    // are interrupted; and the bulk gives a quarter of what the sparse may
    let most = CROWD * (ROUNDS * LITTLE / 2 + LITTLE / 4) + 2 * of_each;
    assert!(before - left <= most, "{} bytes at once, not {most}", before - left);
    assert!(left > all * 9 / 10, "most of it waits");
    while left > 0 {
        stage.turn_with_a_line();
        before = std::mem::replace(&mut left, stage.unread());
        assert!(left < before, "the crowd waits for the line");
        assert!(before - left <= of_each, "{} bytes in a turn", before - left);
    }
}
