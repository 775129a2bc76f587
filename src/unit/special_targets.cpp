#include "unit/special_targets.hpp"

#include <algorithm>
#include <iterator>

namespace perdure::unit {
namespace {

// The names of systemd.special(7), systemd 252, for the system and for users, with the run levels that stand beside them.
constexpr SpecialTarget table[] = {
    {"basic.target", "Basic System"},
    {"blockdev@.target", "Block Device Preparation"},
    {"bluetooth.target", "Bluetooth Support"},
    {"boot-complete.target", "Boot Completion Check"},
    {"cryptsetup-pre.target", "Local Encrypted Volumes (Pre)"},
    {"cryptsetup.target", "Local Encrypted Volumes"},
    {"ctrl-alt-del.target", "System Reboot"},
    {"default.target", "Default Target"},
    {"emergency.target", "Emergency Mode"},
    {"exit.target", "Exit the Instance"},
    {"factory-reset.target", "Factory Reset"},
    {"final.target", "Late Shutdown Services"},
    {"first-boot-complete.target", "First Boot Complete"},
    {"getty-pre.target", "Preparation for Logins"},
    {"getty.target", "Login Prompts"},
    {"graphical-session-pre.target", "Preparation for the graphical session"},
    {"graphical-session.target", "Current graphical user session"},
    {"graphical.target", "Graphical Interface"},
    {"halt.target", "System Halt"},
    {"hibernate.target", "System Hibernation"},
    {"hybrid-sleep.target", "Hybrid Suspend+Hibernate"},
    {"initrd-fs.target", "Initrd File Systems"},
    {"initrd-root-device.target", "Initrd Root Device"},
    {"initrd-root-fs.target", "Initrd Root File System"},
    {"initrd-switch-root.target", "Switch Root"},
    {"initrd-usr-fs.target", "Initrd /usr File System"},
    {"initrd.target", "Initrd Default Target"},
    {"integritysetup-pre.target", "Local Integrity Protected Volumes (Pre)"},
    {"integritysetup.target", "Local Integrity Protected Volumes"},
    {"kbrequest.target", "Keyboard Request"},
    {"kexec.target", "Reboot via kexec"},
    {"local-fs-pre.target", "Preparation for Local File Systems"},
    {"local-fs.target", "Local File Systems"},
    {"machines.target", "Containers"},
    {"multi-user.target", "Multi-User System"},
    {"network-online.target", "Network is Online"},
    {"network-pre.target", "Preparation for Network"},
    {"network.target", "Network"},
    {"nss-lookup.target", "Host and Network Name Lookups"},
    {"nss-user-lookup.target", "User and Group Name Lookups"},
    {"paths.target", "Path Units"},
    {"poweroff.target", "System Power Off"},
    {"printer.target", "Printer Support"},
    {"reboot.target", "System Reboot"},
    {"remote-cryptsetup.target", "Remote Encrypted Volumes"},
    {"remote-fs-pre.target", "Preparation for Remote File Systems"},
    {"remote-fs.target", "Remote File Systems"},
    {"remote-veritysetup.target", "Remote Verity Protected Volumes"},
    {"rescue.target", "Rescue Mode"},
    {"rpcbind.target", "RPC Port Mapper"},
    {"runlevel0.target", "System Power Off"},
    {"runlevel1.target", "Rescue Mode"},
    {"runlevel2.target", "Multi-User System"},
    {"runlevel3.target", "Multi-User System"},
    {"runlevel4.target", "Multi-User System"},
    {"runlevel5.target", "Graphical Interface"},
    {"runlevel6.target", "System Reboot"},
    {"shutdown.target", "System Shutdown"},
    {"sigpwr.target", "Power Failure"},
    {"sleep.target", "Sleep"},
    {"slices.target", "Slice Units"},
    {"smartcard.target", "Smart Card"},
    {"sockets.target", "Socket Units"},
    {"sound.target", "Sound Card"},
    {"suspend-then-hibernate.target", "Suspend, then hibernate"},
    {"suspend.target", "Suspend"},
    {"swap.target", "Swaps"},
    {"sysinit.target", "System Initialization"},
    {"system-update-pre.target", "Offline System Update (Pre)"},
    {"system-update.target", "Offline System Update"},
    {"time-set.target", "System Time Set"},
    {"time-sync.target", "System Time Synchronized"},
    {"timers.target", "Timer Units"},
    {"umount.target", "Unmount All Filesystems"},
    {"usb-gadget.target", "Hardware activated USB gadget"},
    {"veritysetup-pre.target", "Local Verity Protected Volumes (Pre)"},
    {"veritysetup.target", "Local Verity Protected Volumes"},
    {"xdg-desktop-autostart.target", "Startup of XDG autostart applications"},
};
static_assert(std::is_sorted(std::begin(table), std::end(table),
                             [](const SpecialTarget& a, const SpecialTarget& b) { return a.name < b.name; }));

const SpecialTarget* find_exact(std::string_view name) noexcept {
  const auto* const at = std::lower_bound(std::begin(table), std::end(table), name,
                                          [](const SpecialTarget& t, std::string_view wanted) { return t.name < wanted; });
  return at != std::end(table) && at->name == name ? at : nullptr;
}

}  // namespace

std::span<const SpecialTarget> special_targets() noexcept { return table; }

const SpecialTarget* find_special_target(std::string_view name) noexcept {
  constexpr std::string_view template_prefix = "blockdev@", suffix = ".target";
  if (name.starts_with(template_prefix) && name.ends_with(suffix)) return find_exact("blockdev@.target");
  return find_exact(name);
}

}  // namespace perdure::unit
