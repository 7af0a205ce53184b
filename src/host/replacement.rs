//! A file that takes another one's place only when it is complete.

use crate::host::errno::Errno;
use crate::host::fd::{self, Fd};
use crate::host::process;
use crate::host::syscall::{CallError, Name};
use alloc::format;
use alloc::vec::Vec;
use core::ffi::CStr;

/// The new file. Until it is complete its name is FILE.PID.new.
pub struct Replacement {
    path: &'static CStr,
    temporary: Vec<u8>,
    fd: Option<Fd>,
}

impl Replacement {
    /// Makes the new file, empty and for its owner alone. EINVAL: what is there is not a regular file, and would be lost.
    pub fn create(path: &'static CStr) -> Result<Replacement, CallError> {
        match Fd::open(path, libc::O_PATH | libc::O_NOFOLLOW, 0).and_then(|fd| fd.stat()) {
            Ok(stat) if !fd::is_regular(&stat) => {
                let errno = Errno(if stat.st_mode & libc::S_IFMT == libc::S_IFDIR {
                    libc::EISDIR
                } else {
                    libc::EINVAL
                });
                return Err(CallError { call: Name::Function("open"), errno });
            }
            Err(error) if !error.is(libc::ENOENT) => return Err(error),
            _ => {}
        }
        let number = format!(".{}.new\0", process::process_id());
        let temporary = [path.to_bytes(), number.as_bytes()].concat();
        let flags = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL;
        let fd = Fd::open(name(&temporary), flags, 0o600)?;
        Ok(Replacement { path, temporary, fd: Some(fd) })
    }

    /// The new file.
    pub fn fd(&self) -> &Fd {
        self.fd.as_ref().expect("open until it is dropped")
    }

    /// The new file is complete: it takes the place of the old one.
    pub fn complete(mut self) -> Result<(), CallError> {
        self.fd().sync()?;
        fd::rename(name(&self.temporary), self.path)?;
        self.fd = None;
        Ok(())
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        if self.fd.is_some() {
            fd::remove(name(&self.temporary));
        }
    }
}

/// A name with its zero byte.
fn name(bytes: &[u8]) -> &CStr {
    CStr::from_bytes_until_nul(bytes).expect("it has one")
}

#[cfg(all(test, not(miri)))]
mod tests {
    use super::*;
    use std::ffi::CString;
    use std::fs;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn an_old_file_stays_until_the_new_one_is_complete() {
        let directory = std::env::temp_dir().join(format!("kob-replaced-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let name = &directory.join("file");
        let path = CString::new(name.as_os_str().as_bytes()).unwrap();
        let path: &'static CStr = Box::leak(path.into_boxed_c_str());
        fs::write(name, "old").unwrap();
        let new = name.with_extension(format!("{}.new", std::process::id()));
        let replacement = Replacement::create(path).unwrap();
        replacement.fd().write_all_at(0, b"half").unwrap();
        assert_eq!(
            (fs::read(name).unwrap(), fs::read(&new).unwrap()),
            (b"old".into(), b"half".into())
        );
        drop(replacement);
        assert_eq!((fs::read(name).unwrap(), new.exists()), (b"old".into(), false));
        // Nothing is lost that is not a snapshot of ours to replace.
        fs::write(&new, "somebody's").unwrap();
        assert!(Replacement::create(path).is_err_and(|error| error.is(libc::EEXIST)));
        assert_eq!(fs::read(&new).unwrap(), b"somebody's");
        fs::remove_file(&new).unwrap();
        for (other, errno) in
            [(c"/dev/null", libc::EINVAL), (c"/tmp", libc::EISDIR), (c"/no/such", libc::ENOENT)]
        {
            assert!(Replacement::create(other).is_err_and(|error| error.is(errno)), "{other:?}");
        }
        let replacement = Replacement::create(path).unwrap();
        replacement.fd().write_all_at(0, b"new").unwrap();
        replacement.complete().unwrap();
        assert_eq!((fs::read(name).unwrap(), new.exists()), (b"new".into(), false));
        fs::remove_dir_all(&directory).unwrap();
    }
}
