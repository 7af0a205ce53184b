//! Stream sockets for one local client at a time.

use crate::host::errno::Errno;
use crate::host::fd::{self, Fd};
use crate::host::signal;
use crate::host::syscall::{Call, CallError, Name};
use core::ffi::{CStr, c_int};
use core::mem::{offset_of, size_of, zeroed};

/// A socket that clients connect to.
pub struct Listener {
    fd: Fd,
    /// The file that stands for it, which goes with it: its path, device and inode.
    path: Option<(&'static CStr, (libc::dev_t, libc::ino_t))>,
}

impl Listener {
    /// On a path. A socket that is there but has no owner any more is replaced. ENAMETOOLONG: 107 bytes at most. EADDRINUSE: the path
    /// is another program's, or a file.
    pub fn on_path(path: &'static CStr) -> Result<Listener, CallError> {
        // SAFETY: zeros are such a structure.
        let mut address: libc::sockaddr_un = unsafe { zeroed() };
        let bytes = path.to_bytes_with_nul();
        if bytes.len() > address.sun_path.len() {
            let call = Name::Function("bind");
            return Err(CallError { call, errno: Errno(libc::ENAMETOOLONG) });
        }
        address.sun_family = libc::AF_UNIX as libc::sa_family_t;
        for (to, from) in address.sun_path.iter_mut().zip(bytes) {
            *to = from.cast_signed();
        }
        let size = offset_of!(libc::sockaddr_un, sun_path) + bytes.len();
        let fd = socket(libc::AF_UNIX, libc::SOCK_STREAM)?;
        let bound = match bind(&fd, &address, size) {
            Err(error) if error.is(libc::EADDRINUSE) && has_no_owner(path, &address, size) => {
                fd::remove(path);
                bind(&fd, &address, size)
            }
            bound => bound,
        };
        bound?;
        let identity = fd::stat(path).map(|stat| fd::inode(&stat))?;
        let listener = Listener { fd, path: Some((path, identity)) };
        listener.listen()?;
        Ok(listener)
    }

    /// On a TCP port of the loopback interface.
    pub fn on_port(port: u16) -> Result<Listener, CallError> {
        // SAFETY: zeros are such a structure.
        let mut address: libc::sockaddr_in = unsafe { zeroed() };
        address.sin_family = libc::AF_INET as libc::sa_family_t;
        address.sin_port = port.to_be();
        address.sin_addr.s_addr = libc::INADDR_LOOPBACK.to_be();
        let fd = socket(libc::AF_INET, libc::SOCK_STREAM)?;
        // A port whose last connection has just been closed can be had at once.
        set_option(&fd, libc::SOL_SOCKET, libc::SO_REUSEADDR)?;
        bind(&fd, &address, size_of::<libc::sockaddr_in>())?;
        let listener = Listener { fd, path: None };
        listener.listen()?;
        Ok(listener)
    }

    fn listen(&self) -> Result<(), CallError> {
        // SAFETY: takes no memory.
        let result = unsafe { libc::listen(self.fd.raw(), 1) };
        Call::on(self.fd.raw(), "listen", format_args!("1")).returned(result as isize).map(drop)
    }

    /// The next client, if there is one.
    pub fn accept(&self) -> Option<Stream> {
        let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // SAFETY: the address is not asked for.
        let fd = unsafe {
            libc::accept4(self.fd.raw(), core::ptr::null_mut(), core::ptr::null_mut(), flags)
        };
        if fd < 0 {
            return None;
        }
        // SAFETY: the kernel has just made it for us.
        let stream = Stream(unsafe { Fd::from_raw(fd) });
        if self.path.is_none() {
            // Short answers leave at once. Without that they are only slower.
            let _ = set_option(&stream.0, libc::IPPROTO_TCP, libc::TCP_NODELAY);
        }
        Some(stream)
    }

    /// Its descriptor, to wait for.
    pub fn raw(&self) -> c_int {
        self.fd.raw()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // Another program may have put something else there.
        if let Some((path, own)) = self.path
            && fd::stat(path).is_ok_and(|now| fd::inode(&now) == own)
        {
            fd::remove(path);
        }
    }
}

/// A connection. Reading does not wait.
pub struct Stream(Fd);

impl Stream {
    /// Reads what has come. 0: the other side has closed it. EAGAIN: nothing has come.
    pub fn read(&self, bytes: &mut [u8]) -> Result<usize, Errno> {
        fd::read(self.0.raw(), bytes)
    }

    /// Writes all of it. Waits for a reader, but not longer than until a signal asks the program to stop.
    pub fn write(&self, mut bytes: &[u8]) -> Result<(), Errno> {
        while !bytes.is_empty() {
            // SAFETY: the kernel reads the bytes.
            let sent = unsafe {
                libc::send(self.0.raw(), bytes.as_ptr().cast(), bytes.len(), libc::MSG_NOSIGNAL)
            };
            match sent {
                -1 => match Errno::last() {
                    Errno(libc::EAGAIN) => signal::wait_for(self.0.raw(), libc::POLLOUT)?,
                    Errno(libc::EINTR) if signal::stopping().is_none() => {}
                    errno => return Err(errno),
                },
                sent => bytes = &bytes[sent.cast_unsigned()..],
            }
        }
        Ok(())
    }

    /// The other side reads the end. It may still write.
    pub fn end(&self) {
        // SAFETY: takes no memory. Where it fails, the other side is gone already.
        unsafe { libc::shutdown(self.0.raw(), libc::SHUT_WR) };
    }

    /// Its descriptor, to wait for.
    pub fn raw(&self) -> c_int {
        self.0.raw()
    }
}

fn socket(domain: c_int, kind: c_int) -> Result<Fd, CallError> {
    let kind = kind | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: takes no memory.
    let fd = unsafe { libc::socket(domain, kind, 0) };
    let fd = Call::new("socket", format_args!("{domain}")).returned(fd as isize)?;
    // SAFETY: the kernel has just made it for us.
    Ok(unsafe { Fd::from_raw(fd as c_int) })
}

/// bind(2): `size` bytes of a socket's address.
fn bind<T>(fd: &Fd, address: &T, size: usize) -> Result<(), CallError> {
    assert!(size <= size_of::<T>());
    // SAFETY: the kernel reads so many bytes of the structure.
    let result = unsafe { libc::bind(fd.raw(), (&raw const *address).cast(), size as u32) };
    Call::on(fd.raw(), "bind", format_args!("")).returned(result as isize).map(drop)
}

/// Whether nobody has a socket's path any more. A datagram socket tries to connect to it: its owner, if there is one, does not notice.
fn has_no_owner(path: &CStr, address: &libc::sockaddr_un, size: usize) -> bool {
    let is_socket = |stat: libc::stat| stat.st_mode & libc::S_IFMT == libc::S_IFSOCK;
    let Ok(fd) = socket(libc::AF_UNIX, libc::SOCK_DGRAM) else { return false };
    // SAFETY: the kernel reads so many bytes of the structure.
    let result = unsafe { libc::connect(fd.raw(), (&raw const *address).cast(), size as u32) };
    // EPROTOTYPE: it has an owner.
    result < 0 && Errno::last() == Errno(libc::ECONNREFUSED) && fd::stat(path).is_ok_and(is_socket)
}

/// Switches an option of a socket on.
fn set_option(fd: &Fd, level: c_int, option: c_int) -> Result<(), CallError> {
    let on: c_int = 1;
    let size = size_of::<c_int>() as u32;
    // SAFETY: the kernel reads the number.
    let result = unsafe { libc::setsockopt(fd.raw(), level, option, (&raw const on).cast(), size) };
    Call::on(fd.raw(), "setsockopt", format_args!("{option}")).returned(result as isize).map(drop)
}

#[cfg(all(test, not(miri)))]
mod tests {
    use super::*;
    use std::ffi::CString;
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::os::unix::net::{UnixListener, UnixStream};

    fn path(name: &str) -> &'static CStr {
        let path = std::env::temp_dir().join(format!("kob-{}-{name}", std::process::id()));
        Box::leak(CString::new(path.to_str().unwrap()).unwrap().into_boxed_c_str())
    }

    fn talk(listener: &Listener, mut client: impl Read + Write) {
        let stream = listener.accept().unwrap();
        assert!(listener.accept().is_none());
        let mut bytes = [0; 8];
        assert_eq!(stream.read(&mut bytes), Err(Errno(libc::EAGAIN)));
        client.write_all(b"abc").unwrap();
        assert_eq!(stream.read(&mut bytes), Ok(3));
        let sent = vec![7; 1 << 20];
        std::thread::scope(|scope| {
            scope.spawn(|| stream.write(&sent).unwrap());
            let mut got = vec![0; sent.len()];
            client.read_exact(&mut got).unwrap();
            assert_eq!(got, sent);
        });
        drop(client);
        assert_eq!(stream.read(&mut bytes), Ok(0));
        assert_eq!(stream.write(&sent), Err(Errno(libc::EPIPE)), "and no SIGPIPE");
    }

    #[test]
    fn a_client_is_heard_on_a_path_and_the_path_goes_with_the_listener() {
        let path = path("socket");
        let name = path.to_str().unwrap();
        let listener = Listener::on_path(path).unwrap();
        assert!(listener.accept().is_none());
        assert!(Listener::on_path(path).is_err_and(|error| error.is(libc::EADDRINUSE)));
        talk(&listener, UnixStream::connect(name).unwrap());
        drop(listener);
        assert!(!std::path::Path::new(name).exists());
        let listener = Listener::on_path(path).unwrap();
        std::fs::rename(name, format!("{name}.old")).unwrap();
        std::fs::write(name, "another's").unwrap();
        drop(listener);
        assert_eq!(std::fs::read(name).unwrap(), b"another's");
        std::fs::remove_file(name).unwrap();
        std::fs::remove_file(format!("{name}.old")).unwrap();
    }

    #[test]
    fn a_socket_whose_owner_is_gone_is_replaced_and_a_file_is_not() {
        let path = path("stale");
        let name = path.to_str().unwrap();
        drop(UnixListener::bind(name).unwrap());
        drop(Listener::on_path(path).unwrap());
        std::fs::write(name, "a file").unwrap();
        assert!(Listener::on_path(path).is_err_and(|error| error.is(libc::EADDRINUSE)));
        assert_eq!(std::fs::read(name).unwrap(), b"a file");
        std::fs::remove_file(name).unwrap();
        let long = Box::leak(CString::new([b'x'; 108]).unwrap().into_boxed_c_str());
        assert!(Listener::on_path(long).is_err_and(|error| error.is(libc::ENAMETOOLONG)));
    }

    #[test]
    fn a_client_is_heard_on_a_port() {
        // The first one that is free.
        let (listener, port) = (20_000..21_000)
            .find_map(|port| Listener::on_port(port).ok().map(|listener| (listener, port)))
            .unwrap();
        assert!(Listener::on_port(port).is_err_and(|error| error.is(libc::EADDRINUSE)));
        let client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        signal::wait_for(listener.raw(), libc::POLLIN).unwrap();
        let stream = listener.accept().unwrap();
        drop(client);
        signal::wait_for(stream.raw(), libc::POLLIN).unwrap();
        assert_eq!(stream.read(&mut [0]), Ok(0));
    }
}
