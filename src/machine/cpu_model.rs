//! The processor that a guest sees: what this host's KVM can offer, as the user wants it (`--cpu`).

use crate::config::{CpuBase, CpuModel};
use crate::kvm::cpuid::Cpuid;
use crate::kvm::{self, Kvm};
use crate::machine::Error;
use crate::output::Output;
use crate::show::Bits;
use crate::sys::cap::KVM_CAP_TSC_DEADLINE_TIMER;
use crate::x86::features::{BASELINE, Feature, NEEDED, STATE, WORDS};
use alloc::string::String;
use core::fmt::Write;

/// What KVM offers by itself. `with_lapic`: the local APICs are in the kernel.
fn host(kvm: &Kvm, with_lapic: bool) -> Result<Cpuid, kvm::Error> {
    let mut cpuid = kvm.supported_cpuid()?;
    cpuid.set(Feature::named("hypervisor"), true);
    if with_lapic && kvm.check_extension(KVM_CAP_TSC_DEADLINE_TIMER)? != 0 {
        cpuid.set(Feature::named("tsc_deadline_timer"), true);
    }
    Ok(cpuid)
}

/// Also what KVM emulates in software.
fn max(kvm: &Kvm, with_lapic: bool) -> Result<Cpuid, kvm::Error> {
    let mut cpuid = host(kvm, with_lapic)?;
    let mut emulated = kvm.emulated_cpuid()?;
    for word in 0..WORDS.len() {
        let both = cpuid.word(word) | emulated.word(word);
        cpuid.set_word(word, both);
    }
    Ok(cpuid)
}

/// All that a guest's CPUID may say here, also while it runs: some bits follow control registers and the number of vCPUs.
pub fn most(kvm: &Kvm) -> Result<Cpuid, kvm::Error> {
    let mut cpuid = max(kvm, true)?;
    for name in ["ht", "apic", "osxsave", "ospke"] {
        cpuid.set(Feature::named(name), true);
    }
    Ok(cpuid)
}

/// What CPUID shall say. [`Error::NoFeature`]: this KVM can't offer what the user wants.
pub fn cpuid(kvm: &Kvm, model: &CpuModel, with_lapic: bool) -> Result<Cpuid, Error> {
    if *model == CpuModel::default() {
        return Ok(host(kvm, with_lapic)?);
    }
    let mut most = max(kvm, with_lapic)?;
    let mut cpuid = match model.base {
        CpuBase::Host => host(kvm, with_lapic)?,
        CpuBase::Max | CpuBase::Baseline => most.clone(),
    };
    if model.base == CpuBase::Baseline {
        (0..WORDS.len()).for_each(|word| cpuid.set_word(word, 0));
        for name in BASELINE.split(' ') {
            add(Feature::named(name), &mut cpuid, &mut most)?;
        }
    }
    for &(feature, is_wanted) in &model.changes {
        match is_wanted {
            true => add(feature, &mut cpuid, &mut most)?,
            false => remove(feature, &mut cpuid),
        }
    }
    // Leaf 0xd describes the XSAVE area.
    if !cpuid.has(Feature::named("xsave")) {
        cpuid.remove_leaf(0xd);
    }
    for (name, components) in STATE {
        if !cpuid.has(Feature::named(name)) {
            cpuid.remove_state(components);
        }
    }
    let CpuModel { vendor, family, model, stepping, brand, .. } = *model;
    if let Some(vendor) = vendor {
        cpuid.set_vendor(vendor);
    }
    if let Some(family) = family {
        cpuid.set_family(family);
    }
    if let Some(model) = model {
        cpuid.set_model(model);
    }
    if let Some(stepping) = stepping {
        cpuid.set_stepping(stepping);
    }
    if let Some(brand) = brand {
        cpuid.set_brand(brand);
    }
    Ok(cpuid)
}

/// Adds a feature, and those that it needs.
fn add(added: Feature, cpuid: &mut Cpuid, most: &mut Cpuid) -> Result<(), Error> {
    if !most.has(added) {
        return Err(Error::NoFeature(added.name()));
    }
    cpuid.set(added, true);
    for (needed, others) in NEEDED {
        if others.split(' ').any(|name| Feature::named(name) == added) {
            add(Feature::named(needed), cpuid, most)?;
        }
    }
    Ok(())
}

/// Takes away a feature, and those that need it.
fn remove(removed: Feature, cpuid: &mut Cpuid) {
    cpuid.set(removed, false);
    let of_this = NEEDED.iter().filter(|(name, _)| Feature::named(name) == removed);
    for name in of_this.flat_map(|(_, others)| others.split(' ')) {
        let other = Feature::named(name);
        if cpuid.has(other) {
            remove(other, cpuid);
        }
    }
}

/// The features of each word that has some, a line each.
fn lines(cpuid: &mut Cpuid) -> String {
    let mut text = String::new();
    for (number, word) in WORDS.iter().enumerate() {
        let features = Bits(cpuid.word(number).into(), word.names);
        let line = alloc::format!("{features}");
        if !line.is_empty() {
            // A string can always be written.
            let _ = write!(text, "\n{word}:{line}");
        }
    }
    text
}

/// The features of a processor, a line for each word of CPUID that has some. Errors: those of [`cpuid`].
pub fn features(kvm: &Kvm, model: &CpuModel, with_lapic: bool) -> Result<String, Error> {
    Ok(lines(&mut cpuid(kvm, model, with_lapic)?))
}

/// `--cpu help`.
pub fn help(output: &Output) -> Result<(), Error> {
    let kvm = Kvm::open()?;
    kvm.api_version()?;
    let mut most = max(&kvm, true)?;
    let features = lines(&mut most);
    let text = format_args!(
        "Features that this host's KVM can offer, by CPUID leaf and register; with those that --cpu max adds:{features}\n"
    );
    output.answer(text).map_err(Error::Output)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kvm::cpuid::tests::with_leaves;

    fn all() -> Cpuid {
        let mut cpuid = with_leaves(&[1, 7, 0xd, 0x8000_0001]);
        (0..WORDS.len()).for_each(|word| cpuid.set_word(word, u32::MAX));
        cpuid
    }

    #[test]
    fn what_needs_a_feature_goes_with_it() {
        let mut cpuid = all();
        remove(Feature::named("xsave"), &mut cpuid);
        for (name, stays) in
            [("xsave", false), ("avx", false), ("avx512f", false), ("pku", false), ("sse4_2", true)]
        {
            assert_eq!(cpuid.has(Feature::named(name)), stays, "{name}");
        }
        // And with those that need it, it comes again.
        assert_eq!(add(Feature::named("avx2"), &mut cpuid, &mut all()), Ok(()));
        for (name, comes) in [("avx2", true), ("avx", true), ("xsave", true), ("fma", false)] {
            assert_eq!(cpuid.has(Feature::named(name)), comes, "{name}");
        }
        remove(Feature::named("apic"), &mut cpuid);
        assert!(!cpuid.has(Feature::named("tsc_deadline_timer")));
    }

    #[test]
    fn what_kvm_does_not_have_is_refused_by_its_name() {
        let (mut most, mut cpuid) = (with_leaves(&[1]), all());
        let error = add(Feature::named("sse2"), &mut cpuid, &mut most).unwrap_err();
        assert!(
            error.to_string().starts_with("--cpu: this host's KVM cannot offer sse2"),
            "{error}"
        );
        for name in ["sse2", "sse"] {
            most.set(Feature::named(name), true);
        }
        assert_eq!(add(Feature::named("sse2"), &mut cpuid, &mut most), Ok(()));
    }

    #[test]
    fn features_are_listed_by_register() {
        let mut cpuid = with_leaves(&[1, 7]);
        for name in ["fpu", "sse", "pni", "umip"] {
            cpuid.set(Feature::named(name), true);
        }
        assert_eq!(lines(&mut cpuid), "\n0x1 EDX: fpu sse\n0x1 ECX: pni\n0x7 ECX: umip");
    }
}
