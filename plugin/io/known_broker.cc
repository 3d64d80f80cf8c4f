#include "plugin/io/known_broker.h"

#include <link.h>

#include <cstring>

namespace parley::io {
namespace {

// As constants of the broker: each string with the zeros around it.
constexpr char kStarting[] = "mosquitto version %s starting";
struct {
  const char* name;
  size_t bytes;  // with both zeros
  const char* constant;
} constexpr kVersions[] = {
    {"2.0.11", 8,
     "\0"
     "2.0.11"},
    {"2.0.21", 8,
     "\0"
     "2.0.21"},
};

bool Holds(Span constants, const char* text, size_t bytes) {
  return memmem(constants.begin, constants.bytes, text, bytes) != nullptr;
}

Span Segment(const dl_phdr_info& object, const ElfW(Phdr) & header) {
  return {reinterpret_cast<const char*>(object.dlpi_addr + header.p_vaddr), header.p_memsz};
}

// The first object is the executable.
int ReadExecutable(dl_phdr_info* object, size_t, void* found) {
  auto* program = static_cast<Program*>(found);
  for (int i = 0; i < object->dlpi_phnum; ++i) {
    const ElfW(Phdr)& header = object->dlpi_phdr[i];
    if (header.p_type != PT_LOAD || (header.p_flags & PF_W) != 0) continue;
    Span segment = Segment(*object, header);
    if ((header.p_flags & PF_X) != 0) program->code = segment;
    if (program->version == nullptr) program->version = FindVersion(segment);
  }
  return 1;
}

}  // namespace

const char kKnownVersions[] = "2.0.11, 2.0.21";

const char* FindVersion(Span constants) {
  if (!Holds(constants, kStarting, sizeof kStarting)) return nullptr;
  for (const auto& version : kVersions) {
    if (Holds(constants, version.constant, version.bytes)) return version.name;
  }
  return nullptr;
}

Program FindProgram() {
  Program program;
  dl_iterate_phdr(ReadExecutable, &program);
  return program;
}

}  // namespace parley::io
