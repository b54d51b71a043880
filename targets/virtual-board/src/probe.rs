//! The debug probe: a TCP server that does on the chip what the host asks for.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::timeout,
};

use crate::{
    bmp::{Answer, Request, take_frame},
    board::{Board, SharedBoard, checked},
    chip::AccessError,
    debug::swd::{Ack, Event, Line},
};

/// A host that has just hung up may not have been noticed yet when the next one calls.
const TAKE_OVER: Duration = Duration::from_secs(1);
const FIRMWARE: &str = concat!(
    "Black Magic Probe (provebench virtual board) v",
    env!("CARGO_PKG_VERSION")
);

/// Serves one host at a time, as one cable does. A second one is hung up on.
pub(crate) async fn serve(listener: TcpListener, board: SharedBoard) -> io::Result<()> {
    let mut session: Option<JoinHandle<()>> = None;
    loop {
        let (stream, _) = listener.accept().await?;
        if let Some(running) = &mut session
            && timeout(TAKE_OVER, running).await.is_err()
        {
            continue;
        }
        let board = board.clone();
        session = Some(tokio::spawn(async move {
            // A host that vanishes is no fault of the probe.
            let _ = Session::new(board.clone()).run(stream).await;
            let mut board = board.lock().await;
            // What the host has flashed is safe from here on.
            let saved = board.save_boot_flash().await;
            board.check(saved).await;
        }));
    }
}

struct Session {
    board: SharedBoard,
    line: Line,
    frequency: u32,
}

impl Session {
    fn new(board: SharedBoard) -> Self {
        Session {
            board,
            line: Line::new(),
            frequency: 4_000_000,
        }
    }

    async fn run(mut self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut received = Vec::new();
        let mut chunk = [0; 4096];
        loop {
            while let Some(frame) = take_frame(&mut received) {
                let answer = self.answer(&frame).await;
                stream.write_all(&answer.to_frame()).await?;
            }
            match stream.read(&mut chunk).await? {
                0 => return Ok(()),
                count => received.extend_from_slice(&chunk[..count]),
            }
        }
    }

    async fn answer(&mut self, frame: &[u8]) -> Answer {
        let request = match Request::parse(frame) {
            Ok(request) => request,
            Err(rejected) => return Answer::Rejected(rejected),
        };
        let board = self.board.clone();
        let mut board = board.lock().await;
        let answer = self.carry_out(&mut board, request).await;
        // The access may have been the one that a cut was armed for.
        let settled = board.settle().await;
        board.check(settled).await;
        answer
    }

    async fn carry_out(&mut self, board: &mut Board, request: Request) -> Answer {
        match request {
            Request::Start => Answer::Text(FIRMWARE.to_owned()),
            Request::ProtocolVersion => Answer::PROTOCOL_VERSION,
            Request::Accelerators => Answer::ACCELERATORS,
            Request::Voltage => {
                Answer::Text(if board.is_on() { "3.3V" } else { "0.0V" }.to_owned())
            }
            Request::Frequency => Answer::Value((self.frequency / 1000).into()),
            Request::SetFrequency { hertz } => {
                self.frequency = hertz;
                Answer::Done
            }
            Request::Ignored => Answer::Done,
            Request::ResetPin { low } => {
                let outcome = board.set_reset_pin(low).await;
                board.check(outcome).await;
                Answer::Done
            }
            Request::SwdInit => {
                self.line = Line::new();
                Answer::Done
            }
            Request::SwdOut { bits, len } => {
                for n in 0..len {
                    if let Some(event) = self.line.drive(bits >> n & 1 == 1) {
                        self.on_wire(board, event).await;
                    }
                }
                Answer::Done
            }
            Request::SwdIn { len } => {
                let bits = (0..len).fold(0u64, |bits, n| bits | u64::from(self.line.sample()) << n);
                Answer::Value(bits)
            }
            accelerated => on_chip(board, &accelerated).await,
        }
    }

    /// What a complete transfer on the wire does. Without power nobody answers.
    async fn on_wire(&mut self, board: &mut Board, event: Event) {
        let Some(chip) = board.chip() else { return };
        match event {
            Event::LineReset => chip.port.line_reset(),
            Event::Request(request) if request.ap => {
                if chip.port.is_faulted() {
                    return self.line.answer(request, Ack::Fault, 0);
                }
                let posted = chip.port.read_buffer;
                self.line.answer(request, Ack::Ok, posted);
                if request.read {
                    let (port, bank) = chip.port.selected();
                    let read = chip.read_ap(port, bank | request.address).await;
                    if let Ok(value) = self.note_fault(board, read).await
                        && let Some(chip) = board.chip()
                    {
                        chip.port.read_buffer = value;
                    }
                }
            }
            Event::Request(request) => {
                let value = if request.read {
                    chip.port.read(request.address)
                } else {
                    0
                };
                self.line.answer(request, Ack::Ok, value);
            }
            Event::Data {
                parity_ok: false, ..
            } => chip.port.fault(),
            Event::Data { request, value, .. } if request.ap => {
                let (port, bank) = chip.port.selected();
                let written = chip.write_ap(port, bank | request.address, value).await;
                let _ = self.note_fault(board, written).await;
            }
            Event::Data { request, value, .. } => chip.port.write(request.address, value),
        }
    }

    async fn note_fault<T>(
        &self,
        board: &mut Board,
        outcome: Result<T, AccessError>,
    ) -> Result<T, AccessError> {
        let outcome = checked(board, outcome).await;
        if let (Err(_), Some(chip)) = (&outcome, board.chip()) {
            chip.port.fault();
        }
        outcome
    }
}

/// An access that the probe makes by itself.
async fn on_chip(board: &mut Board, request: &Request) -> Answer {
    let mut outcome = access(board, request).await;
    if let Err(AccessError::Board(error)) = outcome {
        // A core that has just locked up takes its emulator along. Its chip is still there.
        board.check::<()>(Err(error)).await;
        outcome = access(board, request).await;
    }
    match checked(board, outcome).await {
        Ok(answer) => answer,
        Err(_) if board.is_on() => Answer::Fault,
        Err(_) => Answer::NoResponse,
    }
}

async fn access(board: &mut Board, request: &Request) -> Result<Answer, AccessError> {
    let Some(chip) = board.chip() else {
        return Ok(Answer::NoResponse);
    };
    match request {
        Request::DpRead { address } => Ok(Answer::Register(chip.port.read(*address))),
        Request::DpWrite { address, value } => {
            chip.port.write(*address, *value);
            Ok(Answer::Done)
        }
        Request::ApRead { port, address } => {
            chip.read_ap(*port, *address).await.map(Answer::Register)
        }
        Request::ApWrite {
            port,
            address,
            value,
        } => chip
            .write_ap(*port, *address, *value)
            .await
            .map(|()| Answer::Done),
        Request::MemoryRead { address, len } => {
            chip.read_memory(*address, *len).await.map(Answer::Memory)
        }
        Request::MemoryWrite {
            address,
            size,
            data,
        } => chip
            .write_memory(*address, *size, data)
            .await
            .map(|()| Answer::Done),
        other => unreachable!("{other:?} is carried out by the session"),
    }
}
