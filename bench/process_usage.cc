#include "bench/process_usage.h"

#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>

#include "bench/clients.h"

namespace parley::bench {
namespace {

std::string ReadFile(const std::string& path) {
  std::ifstream file(path);
  if (!file) Die("can't read " + path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// Of a line of proc(5)'s stat: the command's name stands in parentheses and may hold spaces; utime
// and stime are the 14th and 15th field, so the 12th and 13th after it.
double CpuSeconds(const std::string& stat) {
  std::istringstream fields(stat.substr(stat.rfind(')') + 1));
  std::string skipped;
  for (int i = 0; i < 11; ++i) fields >> skipped;
  double user = 0;
  double system = 0;
  fields >> user >> system;
  return (user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

// A number after `name` in a status file.
uint64_t StatusField(const std::string& status, const std::string& name) {
  const size_t at = status.find("\n" + name + ":");
  if (at == std::string::npos) return 0;
  return std::stoull(status.substr(at + name.size() + 2));
}

double Seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

}  // namespace

ProcessUsage ReadUsage(pid_t pid) {
  const std::string process = "/proc/" + std::to_string(pid);
  const std::string main_thread = process + "/task/" + std::to_string(pid);
  ProcessUsage usage;
  usage.cpu_s = CpuSeconds(ReadFile(process + "/stat"));
  usage.main_cpu_s = CpuSeconds(ReadFile(main_thread + "/stat"));
  const std::string status = ReadFile(main_thread + "/status");
  usage.main_switches = StatusField(status, "voluntary_ctxt_switches");
  usage.rss_bytes = StatusField(status, "VmRSS") * 1024;
  return usage;
}

double ThreadCpuSeconds(pid_t pid, const std::string& name) {
  double seconds = 0;
  for (const auto& thread :
       std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/task")) {
    std::ifstream file(thread.path() / "stat");
    std::string stat;
    if (!std::getline(file, stat)) continue;  // ended meanwhile
    const size_t begin = stat.find('(') + 1;
    if (stat.substr(begin, stat.rfind(')') - begin) == name) seconds += CpuSeconds(stat);
  }
  return seconds;
}

ProcessSize ReadSize(pid_t pid) {
  const std::string process = "/proc/" + std::to_string(pid);
  const std::string status = ReadFile(process + "/status");
  ProcessSize size;
  size.rss_bytes = StatusField(status, "VmRSS") * 1024;
  size.anon_bytes = StatusField(status, "RssAnon") * 1024;
  size.threads = StatusField(status, "Threads");
  using Files = std::filesystem::directory_iterator;
  size.files = static_cast<uint64_t>(std::distance(Files(process + "/fd"), Files()));
  return size;
}

double OwnCpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return Seconds(usage.ru_utime) + Seconds(usage.ru_stime);
}

}  // namespace parley::bench
