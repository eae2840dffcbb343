/** Labels of a series: component ids and constants, never text of a caller. */
export type Labels = Readonly<Record<string, string>>;

/** Counts up. */
export interface Counter {
  add(amount?: number): void;
  readonly value: number;
}

/** The figures of a service, read by the `metrics` extension. */
export interface Metrics {
  /** The counter of this name and labels; the same one for the same arguments. */
  counter(name: string, help: string, labels?: Labels): Counter;
  /** A figure that is asked for when it is read. The last registration of a name and labels counts. */
  gauge(name: string, help: string, labels: Labels, read: () => number): void;
  /** Everything, in Prometheus text format 0.0.4. */
  render(): string;
}

/** First part of every metric's name; the rest is the Collector's, so that its dashboards feel familiar. */
const PREFIX = "countersign_";

interface Family {
  readonly help: string;
  readonly kind: "counter" | "gauge";
  readonly series: Map<string, () => number>;
  readonly counters: Map<string, Counter>;
}

/** An empty registry. The number of series is bounded by the configuration: labels hold ids and constants only. */
export function createMetrics(): Metrics {
  return new Registry();
}

class Registry implements Metrics {
  readonly #families = new Map<string, Family>();

  counter(name: string, help: string, labels: Labels = {}): Counter {
    const family = this.#family(`${name}_total`, help, "counter");
    const key = labelText(labels);
    const known = family.counters.get(key);
    if (known !== undefined) return known;
    const counter = new PlainCounter();
    family.counters.set(key, counter);
    family.series.set(key, () => counter.value);
    return counter;
  }

  gauge(name: string, help: string, labels: Labels, read: () => number): void {
    this.#family(name, help, "gauge").series.set(labelText(labels), read);
  }

  render(): string {
    const lines: string[] = [];
    for (const [name, { help, kind, series }] of this.#families) {
      lines.push(`# HELP ${PREFIX}${name} ${help}`, `# TYPE ${PREFIX}${name} ${kind}`);
      for (const [labels, read] of series) lines.push(`${PREFIX}${name}${labels} ${read()}`);
    }
    return `${lines.join("\n")}\n`;
  }

  #family(name: string, help: string, kind: Family["kind"]): Family {
    let family = this.#families.get(name);
    if (family === undefined) {
      family = { help, kind, series: new Map(), counters: new Map() };
      this.#families.set(name, family);
    }
    return family;
  }
}

class PlainCounter implements Counter {
  #value = 0;

  get value(): number {
    return this.#value;
  }

  add(amount = 1): void {
    this.#value += amount;
  }
}

function labelText(labels: Labels): string {
  const pairs = Object.entries(labels).toSorted(([a], [b]) => (a < b ? -1 : 1));
  if (pairs.length === 0) return "";
  return `{${pairs.map(([key, value]) => `${key}="${escapeLabel(value)}"`).join(",")}}`;
}

function escapeLabel(value: string): string {
  return value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}
