#include "tests/e2e/paho_pace.h"

#include <chrono>
#include <memory>

#include "tests/e2e/paho_device.h"

namespace parley::e2e {

PahoPace::PahoPace() : broker_({.plugin = false}) {
  broker_.Start();
  PahoOptions options;
  options.port = broker_.port();
  options.client_id = "pace";
  auto device = std::make_shared<PahoDevice>(options);
  device->Login();
  thread_ = std::thread([this, device] {
    try {
      while (!stop_) {
        device->Publish("pace", "");
        device->Flush();
        std::this_thread::sleep_for(std::chrono::milliseconds(3));
      }
    } catch (const std::exception&) {
      // Without it everything is slower, and nothing else.
    }
  });
}

PahoPace::~PahoPace() {
  stop_ = true;
  thread_.join();
}

}  // namespace parley::e2e
