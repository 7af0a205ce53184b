//! The file: its header and its sections.

use crate::crc32;
use crate::host::fd::{self, Fd};
use crate::host::random;
use crate::layout::HUGE_PAGE;
use crate::memory::plain::{Plain, bytes_of, bytes_of_mut};
use crate::snapshot::{Error, Field, Fields, Invalid, Tag};
use alloc::vec;
use alloc::vec::Vec;
use core::ffi::CStr;
use core::ops::Range;

pub const MAGIC: [u8; 8] = *b"KOB2SAVE";
/// Of the format: another one can't be restored.
pub const VERSION: u32 = 1;

/// The state of a machine is smaller than this, in bytes: 255 vCPUs have some 16 KiB each.
const LARGEST: u64 = 64 << 20;

/// How a snapshot begins.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Header {
    pub magic: [u8; 8],
    pub version: u32,
    /// CRC-32 of the header, with 0 here.
    pub checksum: u32,
    /// Of all sections, in bytes.
    pub sections_size: u64,
    /// Where RAM begins in the file; 0: it is elsewhere.
    pub ram_offset: u64,
    /// Of RAM, in bytes.
    pub ram_size: u64,
    /// Random: no two snapshots have the same.
    pub id: [u8; 16],
    pub reserved: [u8; 8],
}

const HEADER_SIZE: u64 = size_of::<Header>() as u64;

// SAFETY: made of integers without gaps.
unsafe impl Plain for Header {}

/// How a section begins.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct SectionHeader {
    tag: Tag,
    flags: u32,
    /// Of the contents, in bytes.
    size: u64,
    /// CRC-32 of this header, with 0 here, and of the contents.
    checksum: u32,
    reserved: u32,
}

impl SectionHeader {
    fn sum(&self, contents: &[u8]) -> u32 {
        let header = [SectionHeader { checksum: 0, ..*self }];
        crc32::more(crc32::of(bytes_of(&header)), contents)
    }
}

// SAFETY: made of integers without gaps.
unsafe impl Plain for SectionHeader {}

/// In a section's flags: a program that does not know the tag may skip the section.
pub const MAY_BE_SKIPPED: u32 = 1 << 0;

/// Where RAM is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RamPlace {
    /// In the snapshot itself.
    Here,
    /// It has stayed in its own file.
    Elsewhere,
}

impl Header {
    /// Of a new snapshot with RAM of this size.
    pub fn new(sections_size: u64, ram_size: u64, place: RamPlace) -> Header {
        let end = HEADER_SIZE + sections_size;
        let ram_offset = match place {
            RamPlace::Here => end.next_multiple_of(HUGE_PAGE),
            RamPlace::Elsewhere => 0,
        };
        let (magic, version, id) = (MAGIC, VERSION, random::bytes());
        let header =
            Header { magic, version, sections_size, ram_offset, ram_size, id, ..Header::default() };
        Header { checksum: header.sum(), ..header }
    }

    fn sum(&self) -> u32 {
        crc32::of(bytes_of(&[Header { checksum: 0, ..*self }]))
    }

    /// As it stands in the file.
    pub fn bytes(&self) -> &[u8] {
        bytes_of(core::slice::from_ref(self))
    }

    /// How long the file is.
    pub fn file_size(&self) -> u64 {
        match self.ram_offset {
            0 => HEADER_SIZE + self.sections_size,
            offset => offset.saturating_add(self.ram_size),
        }
    }

    /// Whether it is a header of ours, of a file of this size.
    pub fn check(&self, path: &'static CStr, file_size: u64) -> Result<(), Error> {
        let damaged = |what| Err(Error::Damaged { path, what });
        if self.magic != MAGIC {
            return Err(Error::NotASnapshot { path });
        }
        if self.version != VERSION {
            return Err(Error::Version { path, version: self.version });
        }
        if self.checksum != self.sum() {
            return damaged("the header's checksum is wrong");
        }
        let is_placed = self.ram_offset == 0
            || self.ram_offset.is_multiple_of(HUGE_PAGE)
                && self.ram_offset >= HEADER_SIZE.saturating_add(self.sections_size);
        if self.sections_size > LARGEST || !is_placed {
            return damaged("the header's sizes make no sense");
        }
        match file_size == self.file_size() {
            true => Ok(()),
            false => damaged("it is not as long as its header says"),
        }
    }
}

/// The sections of a snapshot that is being written.
#[derive(Clone, Default)]
pub struct Sections(Vec<u8>);

impl Sections {
    /// Adds a section, whose contents `fill` saves.
    pub fn add(
        &mut self,
        tag: Tag,
        flags: u32,
        fill: impl FnOnce(&mut Fields) -> Result<(), Invalid>,
    ) {
        let start = self.0.len();
        self.0.resize(start + size_of::<SectionHeader>(), 0);
        fill(&mut Fields::Save(&mut self.0)).expect("saving does not fail");
        let contents = start + size_of::<SectionHeader>();
        let size = (self.0.len() - contents) as u64;
        let header = SectionHeader { tag, flags, size, ..SectionHeader::default() };
        let checksum = header.sum(&self.0[contents..]);
        let header = SectionHeader { checksum, ..header };
        self.0[start..contents].copy_from_slice(bytes_of(&[header]));
        self.0.resize(self.0.len().next_multiple_of(8), 0);
    }

    /// As they stand in the file.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A snapshot that was read.
#[derive(Debug)]
pub struct Snapshot {
    pub path: &'static CStr,
    /// The file, for RAM that is in it.
    pub fd: Fd,
    pub header: Header,
    /// All sections.
    bytes: Vec<u8>,
    /// Of each of them: its tag, and where its contents are in `bytes`.
    sections: Vec<Section>,
}

/// A section's tag, and where its contents are.
pub type Section = (Tag, Range<usize>);

impl Snapshot {
    /// Opens a snapshot, and checks that it is whole. `is_known` says which sections this program reads.
    pub fn open(path: &'static CStr, is_known: fn(Tag) -> bool) -> Result<Snapshot, Error> {
        let failed = |error| Error::Call { path, error };
        // O_NONBLOCK: nobody may write to a FIFO.
        let fd = Fd::open(path, libc::O_RDONLY | libc::O_NONBLOCK, 0).map_err(failed)?;
        let stat = fd.stat().map_err(failed)?;
        if !fd::is_regular(&stat) {
            return Err(Error::NotASnapshot { path });
        }
        let mut header = Header::default();
        read(&fd, 0, bytes_of_mut(core::slice::from_mut(&mut header)), path)?;
        header.check(path, stat.st_size as u64)?;
        let mut bytes = vec![0; header.sections_size as usize];
        read(&fd, HEADER_SIZE, &mut bytes, path)?;
        let sections = find_sections(&bytes, path, is_known)?;
        Ok(Snapshot { path, fd, header, bytes, sections })
    }

    /// The contents of a section; of the `nth` with this tag, from 0 on.
    pub fn section(&self, tag: Tag, nth: usize) -> Option<&[u8]> {
        let range = self.sections.iter().filter(|(other, _)| *other == tag).nth(nth)?;
        Some(&self.bytes[range.1.clone()])
    }

    /// Restores from a section, all of which must be used.
    pub fn restore(
        &self,
        tag: Tag,
        nth: usize,
        take: impl FnOnce(&mut Fields) -> Result<(), Invalid>,
    ) -> Result<(), Error> {
        let path = self.path;
        let mut fields =
            Fields::Restore(self.section(tag, nth).ok_or(Error::Missing { path, tag })?);
        let result = take(&mut fields).and_then(|()| fields.end());
        result.map_err(|why| Error::Invalid { path, tag, why })
    }

    /// Likewise a value.
    pub fn value<T: Field + Default>(&self, tag: Tag, nth: usize) -> Result<T, Error> {
        let mut value = T::default();
        self.restore(tag, nth, |fields| value.visit(fields))?;
        Ok(value)
    }
}

fn read(fd: &Fd, offset: u64, bytes: &mut [u8], path: &'static CStr) -> Result<(), Error> {
    let mut done = 0;
    while done < bytes.len() {
        match fd.read_at(offset + done as u64, &mut bytes[done..]) {
            Ok(0) if offset == 0 => return Err(Error::NotASnapshot { path }),
            Ok(0) => return Err(Error::Damaged { path, what: "it ends too early" }),
            Ok(count) => done += count,
            Err(error) => return Err(Error::Call { path, error }),
        }
    }
    Ok(())
}

/// Finds the sections and checks each of them.
pub fn find_sections(
    bytes: &[u8],
    path: &'static CStr,
    is_known: fn(Tag) -> bool,
) -> Result<Vec<Section>, Error> {
    let damaged = |what| Error::Damaged { path, what };
    let mut sections = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let mut header = SectionHeader::default();
        let mut fields = Fields::Restore(&bytes[at..]);
        header.visit(&mut fields).map_err(|_| damaged("a section is cut off"))?;
        let start = at + size_of::<SectionHeader>();
        let end = usize::try_from(header.size).ok().and_then(|size| start.checked_add(size));
        let end = end.filter(|&end| end <= bytes.len()).ok_or(damaged("a section is cut off"))?;
        if header.sum(&bytes[start..end]) != header.checksum {
            return Err(damaged("a section's checksum is wrong"));
        }
        if is_known(header.tag) {
            sections.push((header.tag, start..end));
        } else if header.flags & MAY_BE_SKIPPED == 0 {
            return Err(Error::UnknownSection { path, tag: header.tag });
        }
        at = end.next_multiple_of(8);
        if bytes.get(end..at).is_none_or(|behind| behind.iter().any(|&byte| byte != 0)) {
            return Err(damaged("there is something between two sections"));
        }
    }
    Ok(sections)
}

#[cfg(all(test, not(miri)))]
#[path = "file_tests.rs"]
mod tests;
