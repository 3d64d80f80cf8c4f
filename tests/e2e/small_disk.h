// A disk that a test can fill.
#ifndef PARLEY_TESTS_E2E_SMALL_DISK_H_
#define PARLEY_TESTS_E2E_SMALL_DISK_H_

#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>

#include "tests/catch.h"
#include "tests/e2e/broker.h"
#include "tests/e2e/device.h"

namespace parley::e2e {

// The data directory on a file system of its own, which a test can fill.
class SmallDisk {
 public:
  explicit SmallDisk(const std::filesystem::path& dir) : dir_(dir) {
    struct stat owner {};
    if (stat(dir.c_str(), &owner) != 0) return;
    const std::filesystem::path aside = dir.string() + ".aside";
    std::filesystem::rename(dir, aside);
    std::filesystem::create_directory(dir);
    mounted_ = mount("tmpfs", dir.c_str(), "tmpfs", 0, "size=24m,mode=0700") == 0;
    // cp keeps owners, which std::filesystem doesn't.
    const CommandResult copied =
        RunCommand({"cp", "-a", aside.string() + "/.", dir.string() + "/"});
    if (copied.exit_code != 0) throw std::runtime_error(copied.err);
    if (chown(dir.c_str(), owner.st_uid, owner.st_gid) != 0) throw std::runtime_error("chown");
  }
  ~SmallDisk() {
    if (mounted_) umount2(dir_.c_str(), MNT_DETACH);
  }
  bool mounted() const { return mounted_; }
  void Fill() {
    std::ofstream ballast(dir_ / "ballast", std::ios::binary);
    const std::string block(4096, 'x');
    while (ballast.write(block.data(), static_cast<std::streamsize>(block.size())).flush()) {
    }
  }
  void Free() { std::filesystem::remove(dir_ / "ballast"); }

 private:
  const std::filesystem::path dir_;
  bool mounted_ = false;
};

// Starts the server again with its data on one. Null, with a warning: that isn't possible here.
inline std::unique_ptr<SmallDisk> MoveToSmallDisk(ChatServer* server) {
  server->Stop();
  auto disk = std::make_unique<SmallDisk>(server->data_dir());
  if (!disk->mounted()) {
    WARN("no mount here: a full disk is tested in tests/storage only");
    return nullptr;
  }
  server->Start();
  return disk;
}

}  // namespace parley::e2e

#endif  // PARLEY_TESTS_E2E_SMALL_DISK_H_
