//! UDP sockets: datagrams come in by the batch, and leave in chunks for whoever decodes them.
//!
//! Every worker has its own socket on every address (SO_REUSEPORT: the kernel keeps the datagrams of one exporter on one socket, in
//! order). A worker does nothing but receive: 64 datagrams with one system call, packed into a chunk, the chunk into a bounded queue.
//! When the queue is full the worker waits, the kernel's buffer fills, and the kernel counts what it drops (SO_RXQ_OVFL).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, mpsc};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use socket2::{Domain, Protocol, Socket, Type};
use wire::collector::{MESSAGE_MAX, Origin};

/// Bytes of datagrams in a chunk, and datagrams, from which on it is handed over.
const CHUNK: usize = 256 << 10;
const CHUNK_DATAGRAMS: usize = 2_048;
/// What a chunk takes at most with a header of 64 bytes before each datagram: one datagram may be added to an almost full one.
pub(crate) const CHUNK_MAX: usize = CHUNK + MESSAGE_MAX + 64 * CHUNK_DATAGRAMS;
/// Chunks between the workers and the decoder: with [`CHUNK`] 175 MiB, half a second of what a sender on the same machine can send.
pub(crate) const QUEUE: usize = 700;
/// What is asked of the kernel for each socket; it may give less (`net.core.rmem_max`).
const RECEIVE_BUFFER: usize = 128 << 20;
/// How often a worker that receives nothing looks whether it is to stop.
const LOOK_UP: Duration = Duration::from_millis(100);

/// One received datagram.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Datagram {
    /// Who sent it.
    pub(crate) from: Origin,
    /// Port of ours that it came to.
    pub(crate) to_port: u16,
    /// When it was taken from the kernel.
    pub(crate) received_ns: u64,
    start: u32,
    length: u32,
}

/// Datagrams one behind the other.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    pub(crate) datagrams: Vec<Datagram>,
    bytes: Vec<u8>,
}

impl Chunk {
    /// The payload of one of its datagrams.
    pub(crate) fn payload(&self, datagram: &Datagram) -> &[u8] {
        &self.bytes[datagram.start as usize..(datagram.start + datagram.length) as usize]
    }

    fn push(&mut self, from: Origin, to_port: u16, received_ns: u64, payload: &[u8]) {
        self.datagrams.push(Datagram {
            from,
            to_port,
            received_ns,
            start: self.bytes.len() as u32,
            length: payload.len() as u32,
        });
        self.bytes.extend_from_slice(payload);
    }

    fn is_full(&self) -> bool {
        self.bytes.len() >= CHUNK || self.datagrams.len() >= CHUNK_DATAGRAMS
    }

    fn clear(&mut self) {
        self.datagrams.clear();
        self.bytes.clear();
    }
}

/// What all workers share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// Set to end.
    pub(crate) stop: AtomicBool,
    /// Datagrams that the kernel dropped because nobody took them in time.
    pub(crate) dropped: AtomicU64,
    /// Datagrams that were not recorded: the disk was too slow, full or gone.
    pub(crate) unrecorded: AtomicU64,
    /// Chunks in the queue.
    pub(crate) queued: AtomicU64,
    /// Empty chunks for another use.
    empty: Mutex<Vec<Chunk>>,
}

impl Shared {
    fn take(&self) -> Chunk {
        let mut empty = self
            .empty
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        empty.pop().unwrap_or_default()
    }

    /// Takes a chunk back for another use.
    pub(crate) fn give_back(&self, mut chunk: Chunk) {
        chunk.clear();
        let mut empty = self
            .empty
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if empty.len() < QUEUE {
            empty.push(chunk);
        }
    }
}

/// A socket on each address for each worker.
#[derive(Debug)]
pub(crate) struct Sockets {
    /// What is listened on, with the ports that the system chose for port 0.
    pub(crate) addresses: Vec<SocketAddr>,
    /// Bytes that the kernel keeps for a socket.
    pub(crate) buffer: usize,
    workers: Vec<Vec<(Socket, u16)>>,
}

impl Sockets {
    /// Binds.
    ///
    /// # Errors
    ///
    /// An address that cannot be bound, named.
    pub(crate) fn bind(wanted: &[SocketAddr], workers: usize) -> anyhow::Result<Sockets> {
        let mut sockets = Sockets {
            addresses: Vec::new(),
            buffer: usize::MAX,
            workers: (0..workers).map(|_| Vec::new()).collect(),
        };
        for &address in wanted {
            let mut address = address;
            // Sockets that share a port would also share it with another collector, which would then hear half of the traffic.
            if address.port() != 0 {
                std::net::UdpSocket::bind(address)
                    .or_else(|error| match address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) {
                        true => std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, address.port())),
                        false => Err(error),
                    })
                    .with_context(|| format!("cannot listen on {address}"))?;
            }
            for worker in &mut sockets.workers {
                let (socket, bound) = match bind(address) {
                    // A machine without IPv6.
                    Err(_) if address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) => {
                        bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port())))
                    }
                    other => other,
                }
                .with_context(|| format!("cannot listen on {address}"))?;
                sockets.buffer = sockets.buffer.min(socket.recv_buffer_size().unwrap_or(0));
                worker.push((socket, bound.port()));
                // The other workers share the port that the first one got.
                address = bound;
            }
            sockets.addresses.push(address);
        }
        Ok(sockets)
    }

    /// Whether the kernel gave less room than was asked for.
    pub(crate) fn is_small(&self) -> bool {
        self.buffer < RECEIVE_BUFFER
    }

    /// Starts the workers; they end when told to, or when nobody takes what they received.
    pub(crate) fn start<'scope>(
        self,
        scope: &'scope std::thread::Scope<'scope, '_>,
        shared: &'scope Shared,
        filled: &mpsc::SyncSender<Chunk>,
    ) {
        for sockets in self.workers {
            let filled = filled.clone();
            scope.spawn(move || receive::work(&sockets, shared, &filled));
        }
    }
}

fn bind(address: SocketAddr) -> std::io::Result<(Socket, SocketAddr)> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        // IPv4 exporters come as mapped addresses.
        socket.set_only_v6(false)?;
    }
    #[cfg(unix)]
    socket.set_reuse_port(true)?;
    receive::prepare(&socket);
    socket.bind(&address.into())?;
    let bound = socket
        .local_addr()?
        .as_socket()
        .ok_or_else(|| std::io::Error::other("not an IP socket"))?;
    Ok((socket, bound))
}

fn now_ns() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}

fn mapped(address: SocketAddr) -> Origin {
    Origin {
        address: match address.ip() {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        },
        port: address.port(),
    }
}

/// Hands a chunk over; false where nobody takes it any more.
fn hand_over(chunk: &mut Chunk, shared: &Shared, filled: &mpsc::SyncSender<Chunk>) -> bool {
    if chunk.datagrams.is_empty() {
        return true;
    }
    shared.queued.fetch_add(1, Ordering::Relaxed);
    filled.send(std::mem::replace(chunk, shared.take())).is_ok()
}

/// Receiving as Linux does it best.
#[cfg(target_os = "linux")]
mod receive {
    use std::io::IoSliceMut;
    use std::os::fd::{AsFd, AsRawFd};

    use nix::cmsg_space;
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use nix::sys::socket::{
        ControlMessageOwned, MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, setsockopt, sockopt,
    };

    use super::*;

    /// Datagrams received with one system call.
    const AT_ONCE: usize = 64;
    /// Room for one datagram. Not a power of two: the first lines of all rooms would fall into the same few lines of the cache.
    const ROOM: usize = MESSAGE_MAX + 1 + 27 * 64;

    /// Asks for a large buffer and for the count of drops. What the system refuses is not needed.
    pub(super) fn prepare(socket: &Socket) {
        if setsockopt(socket, sockopt::RcvBufForce, &(RECEIVE_BUFFER / 2)).is_err() {
            let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER / 2);
        }
        let _ = setsockopt(socket, sockopt::RxqOvfl, &1);
    }

    pub(super) fn work(sockets: &[(Socket, u16)], shared: &Shared, filled: &mpsc::SyncSender<Chunk>) {
        let mut memory = vec![0u8; AT_ONCE * ROOM];
        let mut chunk = shared.take();
        let mut drops = vec![0u32; sockets.len()];
        let timeout = PollTimeout::try_from(LOOK_UP).unwrap_or(PollTimeout::NONE);
        let mut is_last = false;
        while !is_last {
            // After the word to stop, what lies in the kernel is taken once more.
            is_last = shared.stop.load(Ordering::Relaxed);
            let mut ready: Vec<PollFd<'_>> = sockets
                .iter()
                .map(|(socket, _)| PollFd::new(socket.as_fd(), PollFlags::POLLIN))
                .collect();
            if poll(&mut ready, timeout).unwrap_or(0) <= 0 {
                continue;
            }
            for (at, (socket, port)) in sockets.iter().enumerate() {
                if !ready[at].any().unwrap_or(false) {
                    continue;
                }
                // Until it is empty, but not for ever: the other sockets want to be heard too.
                for _ in 0..64 {
                    let (memory, chunk) = (&mut memory, &mut chunk);
                    let Some(received) =
                        receive(socket, *port, memory, chunk, &mut drops[at], shared, filled)
                    else {
                        return;
                    };
                    if received < AT_ONCE {
                        break;
                    }
                }
                if !hand_over(&mut chunk, shared, filled) {
                    return;
                }
            }
        }
    }

    /// Receives once; returns how many datagrams came, `None` where nobody takes them any more.
    ///
    /// The headers are made anew each time, since the call writes over the length of their room for control messages; that is three
    /// small allocations for up to 64 datagrams.
    fn receive(
        socket: &Socket,
        port: u16,
        memory: &mut [u8],
        chunk: &mut Chunk,
        drops: &mut u32,
        shared: &Shared,
        filled: &mpsc::SyncSender<Chunk>,
    ) -> Option<usize> {
        let mut slices: Vec<[IoSliceMut<'_>; 1]> = memory
            .chunks_mut(ROOM)
            .map(|room| [IoSliceMut::new(&mut room[..MESSAGE_MAX])])
            .collect();
        let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(AT_ONCE, Some(cmsg_space!(u32)));
        let received = recvmmsg(
            socket.as_raw_fd(),
            &mut headers,
            slices.iter_mut(),
            MsgFlags::MSG_DONTWAIT,
            None,
        );
        let Ok(messages) = received else { return Some(0) };
        let received_ns = now_ns();
        let mut count = 0;
        for message in messages {
            count += 1;
            for control in message.cmsgs().into_iter().flatten() {
                if let ControlMessageOwned::RxqOvfl(total) = control {
                    let new = total.wrapping_sub(*drops);
                    *drops = total;
                    shared.dropped.fetch_add(u64::from(new), Ordering::Relaxed);
                }
            }
            let from = message.address.and_then(|address| {
                let v4 = address
                    .as_sockaddr_in()
                    .map(|v4| SocketAddr::from((v4.ip(), v4.port())));
                v4.or_else(|| {
                    address
                        .as_sockaddr_in6()
                        .map(|v6| SocketAddr::from((v6.ip(), v6.port())))
                })
            });
            let Some(from) = from else { continue };
            let payload = message.iovs().next().unwrap_or_default();
            chunk.push(mapped(from), port, received_ns, payload);
            if chunk.is_full() && !hand_over(chunk, shared, filled) {
                return None;
            }
        }
        Some(count)
    }
}

/// Receiving one datagram at a time, anywhere.
#[cfg(not(target_os = "linux"))]
mod receive {
    use super::*;

    pub(super) fn prepare(socket: &Socket) {
        let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
        let _ = socket.set_read_timeout(Some(LOOK_UP));
    }

    pub(super) fn work(sockets: &[(Socket, u16)], shared: &Shared, filled: &mpsc::SyncSender<Chunk>) {
        std::thread::scope(|scope| {
            for (socket, port) in sockets {
                scope.spawn(move || one(socket, *port, shared, filled));
            }
        });
    }

    fn one(socket: &Socket, port: u16, shared: &Shared, filled: &mpsc::SyncSender<Chunk>) {
        let Ok(socket) = socket.try_clone() else { return };
        let socket = std::net::UdpSocket::from(socket);
        let mut memory = vec![0u8; MESSAGE_MAX];
        let mut chunk = shared.take();
        while !shared.stop.load(Ordering::Relaxed) {
            if let Ok((length, from)) = socket.recv_from(&mut memory) {
                chunk.push(mapped(from), port, now_ns(), &memory[..length]);
                if !hand_over(&mut chunk, shared, filled) {
                    return;
                }
            }
        }
    }
}
