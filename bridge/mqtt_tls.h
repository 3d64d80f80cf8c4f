// TLS to the broker, for the two files that know paho.mqtt.cpp.
#ifndef PARLEY_BRIDGE_MQTT_TLS_H_
#define PARLEY_BRIDGE_MQTT_TLS_H_

#include <mqtt/ssl_options.h>

#include <string>

namespace parley {

// The server's certificate must be signed by one of `ca_file` and be its host's.
inline mqtt::ssl_options TrustIn(const std::string& ca_file) {
  mqtt::ssl_options tls;
  tls.set_trust_store(ca_file);
  tls.set_enable_server_cert_auth(true);
  tls.set_verify(true);
  return tls;
}

}  // namespace parley

#endif  // PARLEY_BRIDGE_MQTT_TLS_H_
