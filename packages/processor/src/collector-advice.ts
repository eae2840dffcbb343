// What an OpenTelemetry Collector has and this service has not, and what to do instead. Types and settings are the Collector's.
import type { ConfigAdvice } from "@countersign/pipeline";

const REDACT = "use `redact`: what is not allowed is dropped, in every part of a span";
const OTLP_HTTP = "use `otlp_http`: spans are sent by OTLP over HTTP, protobuf or JSON";
const SENDER =
  "let the sender say it: OTEL_RESOURCE_ATTRIBUTES; and let it through with `allow` of `redact`";
const SAMPLING =
  "remove it: sample spans in the SDK or behind this service; events are never sampled";
const NO_BATCH = "remove it: exporters join batches by themselves (`batch` of `otlp_http`)";
const NO_LIMITER =
  "remove it: `max_concurrent_requests` of the receiver and `sending_queue` of exporters bound memory; full is answered 503";
const NO_STORAGE = "remove it: events wait in Kafka or the archive, and spans in memory alone";
const OTHER_TELEMETRY =
  "send this to a Collector: here only spans and sealed events come in, by `otlp`";
const METRICS = "remove it: the service's own metrics are served by the extension `metrics`";

/** For those who know the Collector's names. */
export const COLLECTOR_ADVICE: ConfigAdvice = {
  components: {
    receiver: {
      filelog: OTHER_TELEMETRY,
      hostmetrics: OTHER_TELEMETRY,
      prometheus: OTHER_TELEMETRY,
      syslog: OTHER_TELEMETRY,
      jaeger: "let the sender speak OTLP: use `otlp`",
      zipkin: "let the sender speak OTLP: use `otlp`",
    },
    processor: {
      batch: NO_BATCH,
      memory_limiter: NO_LIMITER,
      attributes: REDACT,
      redaction: REDACT,
      resource: REDACT,
      transform: REDACT,
      k8sattributes: SENDER,
      resourcedetection: SENDER,
      probabilistic_sampler: SAMPLING,
      tail_sampling: SAMPLING,
    },
    exporter: {
      otlp: OTLP_HTTP,
      otlphttp: OTLP_HTTP,
      otlp_grpc: OTLP_HTTP,
      jaeger: OTLP_HTTP,
      zipkin: OTLP_HTTP,
      logging: "use `debug`",
      prometheus: METRICS,
      prometheusremotewrite: METRICS,
    },
    connector: {
      forward: "remove it: a receiver may feed several pipelines, and a pipeline several exporters",
      spanmetrics: "make metrics of spans in a Collector behind `otlp_http`",
    },
    extension: {
      bearertokenauth: "use `bearer_auth`: it knows the tenant and the emitters of each token",
      basicauth: "use `bearer_auth`, or `tls.clients` of the receiver",
      oidc: "use `bearer_auth`, or `tls.clients` of the receiver",
      healthcheckv2: "use `health_check`",
      file_storage: NO_STORAGE,
      memory_limiter: NO_LIMITER,
      pprof: "remove it: node has --inspect and --cpu-prof",
      zpages: "remove it: `metrics` and `health_check` say how it is",
    },
  },
  settings: {
    "receiver/otlp.protocols.grpc":
      "remove it: OTLP comes over HTTP alone; senders need OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf and port 4318",
    "receiver/otlp.protocols.http.cors": "remove it: browsers do not send to this service",
    "receiver/otlp.protocols.http.include_metadata":
      "remove it: who sends is known by its credential",
    "receiver/otlp.protocols.http.tls.cert_file": "use `cert: ${file:/path}`",
    "receiver/otlp.protocols.http.tls.key_file": "use `key: ${file:/path}`",
    "receiver/otlp.protocols.http.tls.client_ca_file": "use `client_ca: ${file:/path}`",
    "exporter/otlp_http.sending_queue.storage": NO_STORAGE,
    "exporter/otlp_http.retry_on_failure.enabled": "remove it: retries are always on",
    "exporter/otlp_http.tls":
      "remove it: an https:// endpoint is TLS, with the system's authorities (NODE_EXTRA_CA_CERTS adds some)",
    "exporter/kafka.brokers": "put it under `clients.<name>`, and name that in `client`",
    "exporter/kafka.auth": "put it under `clients.<name>.sasl`, and name that in `client`",
    "exporter/kafka.tls": "put it under `clients.<name>.tls`, and name that in `client`",
    "exporter/kafka.encoding": "remove it: a record's value is the sealed bytes",
    "receiver/kafka.brokers": "put it under `clients.<name>`, and name that in `client`",
    "receiver/kafka.auth": "put it under `clients.<name>.sasl`, and name that in `client`",
    "receiver/kafka.tls": "put it under `clients.<name>.tls`, and name that in `client`",
    "receiver/kafka.group_id": "it is called `group` here",
    "receiver/kafka.encoding": "remove it: a record's value is the sealed bytes",
    "exporter/*.sending_queue": "remove it: events wait where they come from, not in memory",
    "exporter/*.retry_on_failure": "remove it: what was accepted is tried again without end",
  },
};
