//! KVM's own statistics: by descriptors that `KVM_GET_STATS_FD` gives (Linux 5.14, api.rst 4.133), or from debugfs.

use crate::host::fd::Fd;
use crate::host::procfs;
use crate::show::{Text, number};
use crate::sys::stats::*;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::mem::offset_of;

/// KVM's statistics at one moment. A statistic that the kernel does not have is not here.
pub struct KvmFigures {
    /// Each source's name, and what it says.
    pub sources: Vec<(Vec<u8>, Option<Vec<Figure>>)>,
    /// How KVM maps guest memory: in how many pages of 4 KiB, 2 MiB and 1 GiB. Linux 5.15.
    pub pages: [Option<u64>; 3],
    /// Before that, in how many that are larger than 4 KiB.
    pub large: Option<u64>,
}

pub struct Figure {
    pub name: String,
    pub value: u64,
    /// What the value is multiplied by, and what it measures; empty for a plain count.
    pub unit: String,
}

const PAGES: [&str; 3] = ["pages_4k", "pages_2m", "pages_1g"];
const LARGE_PAGES: &str = "largepages";
/// Linux 5.14 has another name for it.
const LARGE_PAGES_IN_5_14: &str = "lpages";

/// Where kernels without statistics descriptors have a directory for each VM.
pub const DEBUGFS: &str = "/sys/kernel/debug/kvm";
/// What is read of it, where it is there.
const DEBUGFS_FIGURES: [&str; 11] = [
    PAGES[0],
    PAGES[1],
    PAGES[2],
    LARGE_PAGES,
    "exits",
    "io_exits",
    "mmio_exits",
    "halt_exits",
    "signal_exits",
    "pf_taken",
    "insn_emulation",
];

impl KvmFigures {
    fn new(sources: Vec<(Vec<u8>, Option<Vec<Figure>>)>) -> KvmFigures {
        let mut figures = KvmFigures { sources, pages: [None; PAGES.len()], large: None };
        figures.pages = PAGES.map(|name| figures.get(name));
        figures.large = figures.get(LARGE_PAGES).or_else(|| figures.get(LARGE_PAGES_IN_5_14));
        figures
    }

    /// The first figure of this name.
    pub fn get(&self, name: &str) -> Option<u64> {
        let mut figures = self.sources.iter().flat_map(|(_, figures)| figures).flatten();
        figures.find(|figure| figure.name == name).map(|figure| figure.value)
    }

    pub fn of_descriptors(sources: &[Source]) -> KvmFigures {
        let figures = |source: &Source| (source.id.clone(), source.figures());
        KvmFigures::new(sources.iter().map(figures).collect())
    }

    /// From a VM's directory. What is counted there begins at 0 with the VM.
    pub fn of_debugfs(directory: &str) -> KvmFigures {
        let figures: Vec<Figure> = DEBUGFS_FIGURES
            .into_iter()
            .filter_map(|name| {
                let value = procfs::number(&format!("{directory}/{name}"))?;
                Some(Figure { name: name.into(), value, unit: String::new() })
            })
            .collect();
        let is_there = !figures.is_empty();
        KvmFigures::new(
            is_there.then(|| (b"from debugfs".to_vec(), Some(figures))).into_iter().collect(),
        )
    }
}

/// A statistics descriptor of KVM's, and its values at the beginning.
pub struct Source {
    fd: Fd,
    id: Vec<u8>,
    data_offset: u64,
    descriptors: Vec<Descriptor>,
    /// The values when counting began; none where it began with the VM.
    first: Vec<u64>,
}

/// A `kvm_stats_desc` and its name.
struct Descriptor {
    flags: u32,
    exponent: i16,
    /// Which of the values are its.
    from: usize,
    count: usize,
    name: Vec<u8>,
}

impl Source {
    /// `None` where the kernel says something that makes no sense.
    pub fn new(fd: Fd) -> Option<Source> {
        let mut words = [0; size_of::<kvm_stats_header>()];
        read_all(&fd, 0, &mut words)?;
        let word = |offset: usize| number(&words[offset..offset + 4]);
        let name_size = word(offset_of!(kvm_stats_header, name_size)) as usize;
        let count = word(offset_of!(kvm_stats_header, num_desc)) as usize;
        let mut id = vec![0; name_size];
        read_all(&fd, word(offset_of!(kvm_stats_header, id_offset)), &mut id)?;
        let size = size_of::<kvm_stats_desc>() + name_size;
        let mut bytes = vec![0; size * count];
        read_all(&fd, word(offset_of!(kvm_stats_header, desc_offset)), &mut bytes)?;
        Some(Source {
            fd,
            id: until_zero(&id).to_vec(),
            data_offset: word(offset_of!(kvm_stats_header, data_offset)),
            descriptors: bytes.chunks_exact(size).map(Descriptor::new).collect(),
            first: Vec::new(),
        })
    }

    /// As [`Source::new`]; counts start at 0 from this moment.
    pub fn counting_from_now(fd: Fd) -> Option<Source> {
        let mut source = Source::new(fd)?;
        source.first = source.values()?;
        Some(source)
    }

    /// All values, now.
    fn values(&self) -> Option<Vec<u64>> {
        let last = self.descriptors.iter().map(|descriptor| descriptor.from + descriptor.count);
        let mut bytes = vec![0; 8 * last.max()?];
        read_all(&self.fd, self.data_offset, &mut bytes)?;
        Some(bytes.chunks_exact(8).map(number).collect())
    }

    /// Of counts, what was added since the beginning; of the others, what they are now.
    fn figures(&self) -> Option<Vec<Figure>> {
        let now = self.values()?;
        let mut figures = Vec::new();
        for descriptor in &self.descriptors {
            for index in 0..descriptor.count {
                let place = descriptor.from + index;
                let first = self.first.get(place).copied();
                let before = first.filter(|_| descriptor.is_count()).unwrap_or(0);
                figures.push(Figure {
                    name: descriptor.name(index),
                    value: now[place].wrapping_sub(before),
                    unit: descriptor.unit(),
                });
            }
        }
        Some(figures)
    }
}

/// `None` where the file does not have all the bytes.
fn read_all(fd: &Fd, offset: u64, bytes: &mut [u8]) -> Option<()> {
    (fd.read_at(offset, bytes).ok()? == bytes.len()).then_some(())
}

impl Descriptor {
    fn new(bytes: &[u8]) -> Descriptor {
        let field = |offset: usize, size: usize| number(&bytes[offset..offset + size]);
        Descriptor {
            flags: field(offset_of!(kvm_stats_desc, flags), 4) as u32,
            exponent: field(offset_of!(kvm_stats_desc, exponent), 2) as u16 as i16,
            from: field(offset_of!(kvm_stats_desc, offset), 4) as usize / 8,
            count: field(offset_of!(kvm_stats_desc, size), 2) as usize,
            name: until_zero(&bytes[offset_of!(kvm_stats_desc, name)..]).to_vec(),
        }
    }

    /// Whether it counts since the VM's beginning, and is not a value of now or the largest there was.
    fn is_count(&self) -> bool {
        !matches!(self.flags & KVM_STATS_TYPE_MASK, KVM_STATS_TYPE_INSTANT | KVM_STATS_TYPE_PEAK)
    }

    /// The name of one of its values.
    fn name(&self, index: usize) -> String {
        match self.count {
            1 => format!("{}", Text(&self.name)),
            _ => format!("{}[{index}]", Text(&self.name)),
        }
    }

    /// What its values are multiplied by, and what they measure.
    fn unit(&self) -> String {
        // A histogram's unit is that of its buckets; the values are counts.
        if matches!(
            self.flags & KVM_STATS_TYPE_MASK,
            KVM_STATS_TYPE_LINEAR_HIST | KVM_STATS_TYPE_LOG_HIST
        ) {
            return String::new();
        }
        let base = if self.flags & KVM_STATS_BASE_MASK == KVM_STATS_BASE_POW2 { 2 } else { 10 };
        let unit = match self.flags >> KVM_STATS_UNIT_SHIFT & 15 {
            1 => " bytes",
            2 if base == 10 && self.exponent == -9 => return " ns".into(),
            2 => " s",
            3 => " cycles",
            _ => "",
        };
        match self.exponent {
            0 => unit.into(),
            exponent => format!(" * {base}^{exponent}{unit}"),
        }
    }
}

fn until_zero(bytes: &[u8]) -> &[u8] {
    bytes.split(|&byte| byte == 0).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A VM's directory in debugfs, with these files.
    fn directory(name: &str, files: &[(&str, &str)]) -> String {
        let path = std::env::temp_dir().join(format!("kob-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        for (name, text) in files {
            std::fs::write(path.join(name), text).unwrap();
        }
        path.to_str().unwrap().into()
    }

    #[test]
    fn what_an_old_kernel_does_not_count_is_missing_and_not_0() {
        let path = directory("5.10", &[("largepages", "8\n"), ("exits", "70\n")]);
        let figures = KvmFigures::of_debugfs(&path);
        assert_eq!((figures.pages, figures.large), ([None; 3], Some(8)));
        let [(_, Some(figures))] = &figures.sources[..] else { panic!() };
        let names: Vec<_> = figures.iter().map(|figure| (&*figure.name, figure.value)).collect();
        assert_eq!(names, [("largepages", 8), ("exits", 70)]);
        std::fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn linux_5_14_counts_large_pages_by_another_name() {
        let figure = Figure { name: "lpages".into(), value: 8, unit: String::new() };
        let figures = KvmFigures::new(Vec::from([(Vec::new(), Some(Vec::from([figure])))]));
        assert_eq!((figures.pages, figures.large), ([None; 3], Some(8)));
    }

    #[test]
    fn pages_are_known_where_the_kernel_counts_them() {
        let files = [("pages_4k", "3\n"), ("pages_2m", "8\n"), ("pages_1g", "0\n")];
        let path = directory("5.15", &files);
        let figures = KvmFigures::of_debugfs(&path);
        assert_eq!((figures.pages, figures.large), ([Some(3), Some(8), Some(0)], None));
        std::fs::remove_dir_all(path).unwrap();
        assert!(KvmFigures::of_debugfs("/nowhere").sources.is_empty());
    }
}
