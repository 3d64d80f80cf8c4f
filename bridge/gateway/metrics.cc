#include "bridge/gateway/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <chrono>
#include <limits>
#include <nlohmann/json.hpp>

#include "chat/figures.h"

namespace parley::gateway {
namespace {

using Clock = std::chrono::steady_clock;
using nlohmann::json;
using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

const prometheus::Histogram::BucketBoundaries kRequestSeconds = {
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60};

constexpr std::string_view kNoRoute = "other";  // the page's files, and what isn't there

// A method is what a client wrote: only those that there are become labels.
std::string MethodLabel(std::string_view method) {
  for (std::string_view known : {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}) {
    if (method == known) return std::string(known);
  }
  return "other";
}

MetricType TypeOf(FigureKind kind) {
  switch (kind) {
    case FigureKind::kCounter:
    case FigureKind::kCounters:
      return MetricType::Counter;
    case FigureKind::kHistogram:
      return MetricType::Histogram;
    case FigureKind::kGauge:
    case FigureKind::kGauges:
    case FigureKind::kText:
      break;
  }
  return MetricType::Gauge;
}

void SetValue(MetricType type, double value, ClientMetric* metric) {
  (type == MetricType::Counter ? metric->counter.value : metric->gauge.value) = value;
}

void AddHistogram(const json& figure, MetricFamily* family) {
  const json& bounds = figure.at("le");
  const json& counts = figure.at("count");
  ClientMetric metric;
  for (size_t i = 0; i < counts.size(); ++i) {
    double bound =
        i < bounds.size() ? bounds[i].get<double>() : std::numeric_limits<double>::infinity();
    metric.histogram.bucket.push_back({counts[i].get<uint64_t>(), bound});
  }
  metric.histogram.sample_count = counts.back().get<uint64_t>();
  metric.histogram.sample_sum = figure.at("sum").get<double>();
  family->metric.push_back(std::move(metric));
}

void AddLabelled(const FigureRow& row, std::string_view label_value, double value,
                 MetricFamily* family) {
  ClientMetric metric;
  if (!row.label.empty())
    metric.label.push_back({std::string(row.label), std::string(label_value)});
  SetValue(family->type, value * row.scale, &metric);
  family->metric.push_back(std::move(metric));
}

// May throw json's exceptions: the text is another program's.
MetricFamily FamilyOf(const FigureRow& row, const std::string& text) {
  MetricFamily family;
  family.name = row.metric;
  family.help = row.help;
  family.type = TypeOf(row.kind);
  if (row.kind == FigureKind::kText) {
    AddLabelled(row, text, 1, &family);
    return family;
  }
  const json figure = json::parse(text);
  if (row.kind == FigureKind::kHistogram) {
    AddHistogram(figure, &family);
  } else if (figure.is_object()) {
    for (const auto& [value, number] : figure.items()) {
      AddLabelled(row, value, number.get<double>(), &family);
    }
  } else {
    AddLabelled(row, "", figure.get<double>(), &family);
  }
  return family;
}

}  // namespace

struct Metrics::Families {
  prometheus::Registry registry;
  prometheus::Family<prometheus::Counter>& requests =
      prometheus::BuildCounter()
          .Name("parley_gateway_requests_total")
          .Help("HTTP requests answered, by route, method and status code.")
          .Register(registry);
  prometheus::Family<prometheus::Histogram>& seconds =
      prometheus::BuildHistogram()
          .Name("parley_gateway_request_seconds")
          .Help("From a request's arrival to its answer, by route; long polls wait by design.")
          .Register(registry);

  prometheus::Gauge& AddGauge(const char* name, const char* help) {
    return prometheus::BuildGauge().Name(name).Help(help).Register(registry).Add({});
  }
  prometheus::Gauge& connections =
      AddGauge("parley_gateway_connections", "HTTP connections that are open.");
  prometheus::Gauge& open_polls =
      AddGauge("parley_gateway_open_polls", "Long polls that wait for a message.");
  prometheus::Gauge& in_flight =
      AddGauge("parley_gateway_in_flight", "Requests that the broker has not answered yet.");
  prometheus::Gauge& connected =
      AddGauge("parley_gateway_mqtt_connected", "1 while the gateway is connected to the broker.");
  prometheus::Counter& reconnects = prometheus::BuildCounter()
                                        .Name("parley_gateway_mqtt_reconnects_total")
                                        .Help("Connections to the broker made again after a loss.")
                                        .Register(registry)
                                        .Add({});
};

Metrics::Metrics() : families_(std::make_unique<Families>()) {}
Metrics::~Metrics() = default;

void Metrics::Measure(const ExchangePtr& exchange) {
  exchange->OnAnswered([this, began = Clock::now()](const Exchange& answered, int status) {
    std::string route(answered.route().empty() ? kNoRoute : answered.route());
    families_->requests
        .Add({{"route", route},
              {"method", MethodLabel(answered.request().method)},
              {"code", std::to_string(status)}})
        .Increment();
    std::chrono::duration<double> took = Clock::now() - began;
    families_->seconds.Add({{"route", route}}, kRequestSeconds).Observe(took.count());
  });
}

std::string Metrics::Text(const std::map<std::string, std::string>& broker,
                          const GatewayState& state) const {
  families_->connections.Set(static_cast<double>(state.connections));
  families_->open_polls.Set(static_cast<double>(state.open_polls));
  families_->in_flight.Set(static_cast<double>(state.in_flight));
  families_->connected.Set(state.connected ? 1 : 0);
  families_->reconnects.Increment(static_cast<double>(state.reconnects) -
                                  families_->reconnects.Value());
  std::vector<MetricFamily> families = families_->registry.Collect();
  for (const FigureRow& row : FigureRows()) {
    auto figure = broker.find(std::string(row.name));
    if (figure == broker.end()) continue;
    try {
      families.push_back(FamilyOf(row, figure->second));
    } catch (const json::exception&) {
      // Of a broker with another version: better none than a wrong one.
    }
  }
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace parley::gateway
