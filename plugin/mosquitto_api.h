// Mosquitto's plugin interface, as 2.0 and 2.1 spell it. Nothing of it may be called off the
// broker's thread, its allocator and its log included.
#ifndef PARLEY_PLUGIN_MOSQUITTO_API_H_
#define PARLEY_PLUGIN_MOSQUITTO_API_H_

#include <mosquitto.h>
#if LIBMOSQUITTO_VERSION_NUMBER < 2001000
// In this order: before 2.0.13 mosquitto_plugin.h needs what mosquitto_broker.h declares.
#include <mosquitto_broker.h>
#include <mosquitto_plugin.h>
#include <mqtt_protocol.h>
#define PARLEY_MOSQUITTO_2_1 0
#else
#define PARLEY_MOSQUITTO_2_1 1
#endif

#endif  // PARLEY_PLUGIN_MOSQUITTO_API_H_
