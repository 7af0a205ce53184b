//! From a configuration to a machine, in the order that KVM wants.

use crate::boot::{self, Payload, firmware, kernel};
use crate::config::{Config, CpuModel, FW_CFG_PREFIX, Irqchip, Mode, NamedItem, PitPlace};
use crate::devices::fw_cfg::{FwCfg, Items, Part};
use crate::devices::lesson_msr::LessonMsr;
use crate::devices::{rtc, vm_generation};
use crate::host::event::Event;
use crate::host::mutex::Mutex;
use crate::host::thread::run_concurrently;
use crate::inspect::death::BrokenRules;
use crate::inspect::dirty_log::DirtyLogView;
use crate::inspect::observer::ExitObserver;
use crate::inspect::registers::Registers;
use crate::inspect::replay::Replay;
use crate::inspect::statistics::Statistics;
use crate::inspect::stepper::Stepper;
use crate::inspect::timeline::VcpuTrack;
use crate::inspect::trace::{CallTraceBrake, ExitTrace, StepTrace};
use crate::kvm::backend::Backend;
use crate::kvm::cpuid::Cpuid;
use crate::kvm::{self, Kvm, Vcpu, Vm};
use crate::layout::*;
use crate::lifecycle::{Lifecycle, VcpuControl};
use crate::machine::board::{Board, BoardStart, Handles};
use crate::machine::controllers::InterruptPin;
use crate::machine::cpu_model;
use crate::machine::device_map::{Devices, buses};
use crate::machine::exit_handler::ExitHandler;
use crate::machine::sections;
use crate::machine::vcpu_thread::VcpuRunner;
use crate::machine::{Error, Kept, Machine, StartState, WakeUp};
use crate::memory::GuestMemory;
use crate::output::Output;
use crate::sys::cap::{self, *};
use crate::sys::memory::KVM_MEM_LOG_DIRTY_PAGES;
use crate::x86::MSR_IA32_TSC;
use crate::x86::registers::Setting;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Builds a machine that is ready to run. `kept`: what has outlived the machine before. With a `replay`, the guest will be
/// single-stepped and nothing of it shown.
pub fn build<'a>(
    config: &'a Config,
    output: &Arc<Output>,
    kept: Kept,
    replay: Option<Arc<Mutex<Replay>>>,
) -> Result<Machine<'a>, Error> {
    // 1. The image or the kernel, before anything is changed. After sleep it is in RAM already, and fw_cfg has its files open.
    let Kept { memory, clock, wake_up, restored } = kept;
    let (payload, named_items) = match (&wake_up, &restored) {
        (Some(wake_up), _) => (Payload::WakeUp(wake_up.vector), Vec::new()),
        (None, Some(_)) => (Payload::Restored, Vec::new()),
        (None, None) => (Payload::open(config)?, open_named_items(config)?),
    };

    // 2. KVM, and the version of its interface that this program knows. No capability is asked for: Linux 5.0 has all that
    // the default run uses.
    let kvm = Kvm::open()?;
    kvm.api_version()?;

    // 3. The VM, then RAM and what is to run in it. Created after RAM, the VM would take 1 ms longer. KVM_CREATE_VM mostly
    // waits, so a kernel's files are read at the same time, by another thread. This thread creates the VM, since KVM names
    // the VM's directory in debugfs after the thread that does.
    let prepare = || match &restored {
        Some(restored) => Ok(Arc::new(restored.memory(config)?)),
        None => prepare_memory(config, &payload, memory),
    };
    let (memory, vm) = if config.is_kernel() && !config.instruments.trace_calls {
        run_concurrently(prepare, || kvm.create_vm())
    } else {
        // One after the other, so that a trace shows the calls in order.
        let vm = kvm.create_vm()?;
        (prepare(), Ok(vm))
    };
    let memory = memory?;
    let vm = Arc::new(vm?.with_memory(memory.clone()));

    // 4. What must come before the vCPUs: the room that KVM needs for real mode on older Intel processors, and interrupt
    // controllers, of which each vCPU gets a part.
    vm.set_tss_address(TSS)?;
    vm.set_identity_map_address(IDENTITY_MAP)?;
    let pit = match (&wake_up, &restored) {
        (Some(wake_up), _) => wake_up.pit,
        (None, Some(restored)) if config.has_board() => restored.pit_place()?,
        _ => interval_timer(config, &payload),
    };
    if config.has_board() {
        create_interrupt_controllers(&vm, config, pit)?;
    }

    // 5. RAM becomes the guest's.
    let flags = if config.instruments.dirty_log { KVM_MEM_LOG_DIRTY_PAGES } else { 0 };
    for (slot, region) in memory.slots() {
        vm.set_user_memory_region(slot, flags, region.gpa, region, region.size)?;
    }

    // 6. The vCPUs. The first one starts in the state that the guest expects; the others wait until it starts them.
    check_vcpu_count(config, &kvm)?;
    let vcpus = VcpuParts::new(config, &kvm)?;
    let vcpus: Result<Vec<Vcpu>, Error> =
        (0..config.cpus).map(|number| vcpus.create(config, &vm, number)).collect();
    let mut vcpus = vcpus?;
    if replay.is_none() {
        warn_of_unscaled_tsc(config, &kvm, output)?;
    }
    if needs_user_space_exits(config) {
        let say = |name: &str| {
            let text =
                format_args!("this KVM has no {name}: such accesses do not exit to the program");
            output.message(text, None);
        };
        enable_user_space_exits(&vm, if replay.is_none() { &say } else { &|_| () });
    }
    let start_state = match &restored {
        Some(restored) => restored.start_state(vcpus[0].sregs()?),
        None => set_registers(config, &payload, &mut vcpus[0], output)?,
    };
    let mut board_start = None;
    if config.has_board() {
        let ram = [config.low_size(), config.high_size()];
        let clock = clock.unwrap_or_else(|| rtc::Kept::new(ram));
        let (fw_cfg, wake_status) = match wake_up {
            Some(WakeUp { fw_cfg, kvm_clock, status, .. }) => {
                vm.set_clock(kvm_clock)?;
                fw_cfg.reset();
                (fw_cfg, status)
            }
            None => {
                let items = match &restored {
                    Some(_) => describe_again(config, output),
                    None => describe(config, &payload, named_items),
                };
                (Arc::new(FwCfg::new(items, memory.clone())), 0)
            }
        };
        board_start = Some(BoardStart { pit, fw_cfg, clock, wake_status });
    }
    // What is left of its files is fw_cfg's.
    drop(payload);
    let parts = VmParts { vm, memory, vcpus, start_state, board_start };
    let mut machine = equip(config, output, replay, parts)?;

    // 9. Of a machine that was saved: all that it was.
    if let Some(restored) = restored {
        restored.put_into(&mut machine)?;
    }
    Ok(machine)
}

/// What KVM and the host have given.
struct VmParts {
    vm: Arc<Vm>,
    memory: Arc<GuestMemory>,
    vcpus: Vec<Vcpu>,
    /// The registers with which the guest starts.
    start_state: StartState,
    board_start: Option<BoardStart>,
}

/// Gives a VM its devices and instruments.
fn equip<'a>(
    config: &'a Config,
    output: &Arc<Output>,
    replay: Option<Arc<Mutex<Replay>>>,
    parts: VmParts,
) -> Result<Machine<'a>, Error> {
    let VmParts { vm, memory, vcpus, start_state, board_start } = parts;
    let is_replay = replay.is_some();
    let logs_dirty_pages = config.instruments.dirty_log;

    // 7. The devices. What a guest says when it runs again is not shown.
    let device_output = if is_replay { Arc::new(Output::silent()) } else { output.clone() };
    let attention = Arc::new(Event::new()?);
    let lifecycle = Arc::new(Lifecycle::new(attention.clone()));
    let devices = Devices::new(config, &vm, &memory, &lifecycle, &device_output);
    let dirty_log = logs_dirty_pages.then(|| {
        Arc::new(DirtyLogView {
            vm: vm.clone(),
            memory: memory.clone(),
            window: devices.window.clone(),
            output: device_output.clone(),
        })
    });
    let (mut ports, mut addresses) = buses(config, &devices, dirty_log.as_ref());
    let msr = Arc::new(LessonMsr::default());
    let mut saved = devices.saved();
    saved.push((sections::LESSON_MSR, msr.clone()));
    let mut board = None;
    if let Some(start) = board_start {
        let (output, attention) = (&device_output, &attention);
        let handles =
            Handles { vm: &vm, memory: &memory, lifecycle: &lifecycle, output, attention };
        let built = Board::new(config, &handles, start)?;
        saved.extend(built.attach(&mut ports, &mut addresses, &handles));
        board = Some(built);
    }
    let handler = Arc::new(ExitHandler {
        ports,
        addresses,
        msr,
        log: devices.log.clone(),
        lifecycle: lifecycle.clone(),
        controllers: board.as_ref().and_then(|board| board.controllers.clone()),
        has_debugger: config.gdb.is_some() && !is_replay,
    });

    // 8. The instruments, and everything that a vCPU's thread takes with it.
    let mut statistics = Statistics::new(
        vm.clone(),
        memory.clone(),
        devices.counter.clone(),
        devices.log.clone(),
        logs_dirty_pages,
        config.instruments.json,
    );
    if config.instruments.stats && !is_replay {
        statistics.start(&vcpus);
    }
    let parts = RunnerParts {
        config,
        output,
        statistics: &statistics,
        replay: replay.as_ref(),
        memory: &memory,
        handler: &handler,
        has_kvm_s_timer: board.as_ref().is_some_and(|board| board.pit_place() == PitPlace::Kernel),
    };
    let mut runners = Vec::new();
    for vcpu in vcpus {
        runners.push(build_runner(&parts, vcpu)?);
    }
    Ok(Machine {
        config,
        start_state,
        memory,
        runners,
        board,
        lifecycle,
        attention,
        output: output.clone(),
        statistics,
        dirty_log,
        devices: saved,
        replay,
    })
}

/// What all vCPUs' threads share.
struct RunnerParts<'a> {
    config: &'a Config,
    output: &'a Arc<Output>,
    statistics: &'a Statistics,
    replay: Option<&'a Arc<Mutex<Replay>>>,
    memory: &'a Arc<GuestMemory>,
    handler: &'a Arc<ExitHandler>,
    has_kvm_s_timer: bool,
}

/// A vCPU with its instruments, ready for its thread.
fn build_runner(parts: &RunnerParts, mut vcpu: Vcpu) -> Result<VcpuRunner, kvm::Error> {
    let &RunnerParts { config, output, statistics, replay, memory, handler, has_kvm_s_timer } =
        parts;
    let instruments = &config.instruments;
    let mut observers: Vec<Box<dyn ExitObserver>> = Vec::new();
    if let Some(counter) = statistics.counter() {
        observers.push(Box::new(counter));
    }
    if instruments.trace_calls {
        observers.push(Box::new(CallTraceBrake(output.clone())));
    }
    if instruments.trace_exits && replay.is_none() {
        if instruments.timeline {
            observers.push(Box::new(VcpuTrack::new(output.clone())));
        } else {
            vcpu.page_mut().request_registers();
            let shows_vcpu = config.cpus > 1;
            observers.push(Box::new(ExitTrace { output: output.clone(), shows_vcpu }));
        }
    }
    let mut stepper = None;
    if instruments.step || replay.is_some() {
        let step = Stepper::start(&mut vcpu, memory)?;
        if let Some(replay) = replay {
            replay.lock().add(&step);
        } else {
            observers.push(Box::new(StepTrace(output.clone())));
        }
        stepper = Some(step);
    }
    // A software backend steps over HLT, board or not.
    let steps_over_hlt = stepper.is_some() && Backend::of_this_host() == Backend::Software;
    let immediate_exit = vcpu.page().immediate_exit();
    let controllers = handler.controllers.as_ref().filter(|_| vcpu.number() == 0);
    let interrupt_pin = controllers.map(|controllers| InterruptPin::new(controllers.clone()));
    Ok(VcpuRunner {
        control: Arc::new(VcpuControl::new(vcpu.number(), Some(immediate_exit))),
        vcpu,
        handler: handler.clone(),
        observers,
        stepper,
        replay: replay.cloned(),
        memory: memory.clone(),
        hlt_waits_in_kernel: config.has_lapic_in_kernel() && !steps_over_hlt,
        has_kvm_s_timer,
        interrupt_pin,
        waits_at_hlt: false,
        thread: None,
    })
}

/// Maps RAM, and loads what is to run in it.
fn prepare_memory(
    config: &Config,
    payload: &Payload,
    kept: Option<Arc<GuestMemory>>,
) -> Result<Arc<GuestMemory>, Error> {
    // A reset is no new generation.
    let mut generation = vm_generation::new_id();
    let memory = match kept {
        Some(memory) => {
            if config.has_acpi() {
                generation = vm_generation::id(&memory).map_err(boot::Error::from)?;
            }
            memory
        }
        None => Arc::new(GuestMemory::map(config.backing, &config.regions())?),
    };
    payload.load(config, &memory)?;
    if config.has_acpi() {
        vm_generation::set_id(&memory, &generation).map_err(boot::Error::from)?;
    }
    Ok(memory)
}

/// What fw_cfg tells of a machine that was saved: its files are opened again. The guest has read them at its start, as a rule; so if
/// they are gone, it goes on without them.
fn describe_again(config: &Config, output: &Output) -> Items {
    let opened = || -> Result<Items, Error> {
        let payload = Payload::open(config)?;
        Ok(describe(config, &payload, open_named_items(config)?))
    };
    opened().unwrap_or_else(|error| {
        let text = format_args!("fw_cfg has none of the guest's files any more: {error}");
        output.message(text, None);
        Items::new(config.cpus, config.memory)
    })
}

/// What fw_cfg tells of the machine.
fn describe(config: &Config, payload: &Payload, named_items: Vec<(Vec<u8>, Part)>) -> Items {
    let mut items = Items::new(config.cpus, config.memory);
    payload.describe(config, &mut items);
    for (name, part) in named_items {
        items.add_file(name, part);
    }
    items
}

/// Opens the files of `--fw-cfg`.
fn open_named_items(config: &Config) -> Result<Vec<(Vec<u8>, Part)>, Error> {
    let open = |item: &NamedItem| {
        let (file, size) = kernel::open_item(item.file)?;
        let name = [FW_CFG_PREFIX, item.name].concat();
        Ok((name, Part::File { file: Arc::new(file), from: 0, size }))
    };
    config.fw_cfg.iter().map(open).collect()
}

/// Where the interval timer is. KVM's needs KVM's 8259s, and takes 30 ms to be taken apart (it waits for readers of the VM's bus,
/// SRCU). Linux hardly uses an interval timer, so it gets the program's.
fn interval_timer(config: &Config, payload: &Payload) -> PitPlace {
    let has_kvm_s = config.irqchip() == Irqchip::Full && !payload.is_linux();
    config.pit.unwrap_or(if has_kvm_s { PitPlace::Kernel } else { PitPlace::Program })
}

/// Those of the board's interrupt controllers and timer that are in the kernel, with the lines as a PC has them. With
/// [`Irqchip::Split`] KVM is told for how many lines of the program's I/O APIC it must exit at an EOI.
fn create_interrupt_controllers(vm: &Vm, config: &Config, pit: PitPlace) -> Result<(), kvm::Error> {
    match config.irqchip() {
        Irqchip::Full => {
            vm.create_irqchip()?;
            vm.route_pins()?;
            if pit == PitPlace::Kernel { vm.create_pit() } else { Ok(()) }
        }
        Irqchip::Split => vm.enable(KVM_CAP_SPLIT_IRQCHIP, IO_APIC_LINES.into()),
        Irqchip::Program => Ok(()),
    }
}

/// Whether KVM can have as many vCPUs.
fn check_vcpu_count(config: &Config, kvm: &Kvm) -> Result<(), kvm::Error> {
    if config.cpus == 1 {
        return Ok(());
    }
    let most = kvm.check_extension(KVM_CAP_MAX_VCPUS)? as u32;
    match config.cpus > most {
        true => Err(kvm::Error::TooManyVcpus { wanted: config.cpus, most }),
        false => Ok(()),
    }
}

/// Without help of the processor, KVM can only move a guest's TSC forward at an exit, and while the host's clock is the TSC, not
/// even that (Linux 6.1 and 6.12: `kvm_guest_time_update` works with a time that stands still).
fn warn_of_unscaled_tsc(config: &Config, kvm: &Kvm, output: &Output) -> Result<(), kvm::Error> {
    if let Some(khz) = config.tsc_khz
        && kvm.check_extension(KVM_CAP_TSC_CONTROL)? == 0
    {
        let text = format_args!(
            "warning: --tsc-khz {khz}: this processor can't scale a guest's TSC (no KVM_CAP_TSC_CONTROL): CPUID tells the guest this \
             frequency, but its TSC may go on with the host's"
        );
        output.message(text, None);
    }
    Ok(())
}

/// What all vCPUs are made with.
struct VcpuParts {
    /// Of a vCPU's `kvm_run`, in bytes.
    mmap_size: usize,
    /// What CPUID says. In real mode without the board it stays empty, which such code can do without.
    cpuid: Option<Cpuid>,
}

impl VcpuParts {
    fn new(config: &Config, kvm: &Kvm) -> Result<VcpuParts, Error> {
        let mmap_size = kvm.vcpu_mmap_size()?;
        let wants_cpuid = config.mode != Mode::Real || config.cpu != CpuModel::default();
        if !config.has_board() && !wants_cpuid {
            return Ok(VcpuParts { mmap_size, cpuid: None });
        }
        let mut cpuid = cpu_model::cpuid(kvm, &config.cpu, config.has_lapic())?;
        if !config.has_lapic() {
            cpuid.remove_local_apic();
        }
        Ok(VcpuParts { mmap_size, cpuid: Some(cpuid) })
    }

    fn create(&self, config: &Config, vm: &Arc<Vm>, number: u32) -> Result<Vcpu, Error> {
        let mut vcpu = Vcpu::create(vm.clone(), number, self.mmap_size)?;
        if let Some(tsc_khz) = config.tsc_khz {
            vcpu.set_tsc_khz(tsc_khz)?;
            // It was 0 when the vCPU was made, and would be scaled from there.
            vcpu.set_msrs([(MSR_IA32_TSC, 0)])?;
        }
        if let Some(cpuid) = &self.cpuid {
            let mut cpuid = cpuid.clone();
            cpuid.set_topology(number, config.cpus);
            // Where the TSC's frequency is not known, KVM says so with an error.
            if config.has_board()
                && let Ok(tsc_khz) = vcpu.tsc_khz()
            {
                cpuid.set_frequencies(tsc_khz);
            }
            vcpu.set_cpuid(&cpuid)?;
        }
        if config.has_board() {
            firmware::set_up(&vcpu, config.apic)?;
        }
        Ok(vcpu)
    }
}

/// Whether the lessons in this mode show MSRs and hypercalls that exit.
fn needs_user_space_exits(config: &Config) -> bool {
    !config.has_board() && config.mode != Mode::Real
}

/// Makes MSRs that KVM does not know exit to the program, and one hypercall: KVM_HC_MAP_GPA_RANGE. `say` is told of a capability that
/// is absent.
fn enable_user_space_exits(vm: &Vm, say: &dyn Fn(&str)) {
    for (capability, value) in [
        (KVM_CAP_X86_USER_SPACE_MSR, u64::from(KVM_MSR_EXIT_REASON_UNKNOWN)),
        (KVM_CAP_EXIT_HYPERCALL, 1 << KVM_HC_MAP_GPA_RANGE),
    ] {
        if vm.enable(capability, value).is_err() {
            say(cap::name(capability).unwrap_or("?"));
        }
    }
}

/// Sets the registers with which the guest starts, and returns them: those of the payload, and then what the user sets.
fn set_registers(
    config: &Config,
    payload: &Payload,
    vcpu: &mut Vcpu,
    output: &Output,
) -> Result<StartState, kvm::Error> {
    let after_reset = vcpu.sregs()?;
    let mut sregs = after_reset;
    let mut regs = payload.registers(config, &mut sregs);
    // A guest that wakes up has had its start.
    let settings: &[Setting] = match payload {
        Payload::WakeUp(_) => &[],
        _ => &config.set,
    };
    for setting in settings {
        setting.apply(&mut regs, &mut sregs);
    }
    vcpu.set_sregs(&sregs, &after_reset).inspect_err(|_| {
        let (shown, rules) = (Registers(&regs, &sregs), BrokenRules(&regs, &sregs));
        output.message(format_args!("KVM refuses these registers:{shown}{rules}"), None);
    })?;
    vcpu.set_regs(&regs)?;
    Ok(StartState { regs, sregs, after_reset })
}

/// Whether a VM can be made, and a vCPU in the state in which the payload starts.
pub fn try_vcpu(
    config: &Config,
    kvm: &Kvm,
    payload: &Payload,
    output: &Output,
) -> Result<(), Error> {
    let vm = Arc::new(kvm.create_vm()?);
    if config.has_board() {
        create_interrupt_controllers(&vm, config, interval_timer(config, payload))?;
    }
    check_vcpu_count(config, kvm)?;
    let mut vcpu = VcpuParts::new(config, kvm)?.create(config, &vm, 0)?;
    if needs_user_space_exits(config) {
        enable_user_space_exits(&vm, &|_| ());
    }
    Ok(set_registers(config, payload, &mut vcpu, output).map(drop)?)
}
