import { type WireMessage } from './wire';

export interface LogPage {
  messages: WireMessage[];
  more: boolean;
}

// What is held back, out of order, until the gap before it is filled; more is dropped, for it comes
// with the gap.
const heldMax = 1000;

// Hands messages on in the order of their numbers, each once, and asks for those that are missing.
export class NumberedLog {
  private held = new Map<number, WireMessage>();
  private filling: Promise<void> | undefined;

  // `last`: the number up to which everything is known. `fetch` answers what comes after a number,
  // ascending; it rejects when the connection goes.
  constructor(
    public last: number,
    private readonly numberOf: (message: WireMessage) => number,
    private readonly apply: (message: WireMessage) => void,
    private readonly fetch: (after: number) => Promise<LogPage>,
  ) {}

  // What arrived live.
  offer(message: WireMessage): void {
    const number = this.numberOf(message);
    if (number <= this.last) return;
    if (number === this.last + 1) {
      this.take(message);
      this.takeHeld();
      return;
    }
    if (this.held.size < heldMax) this.held.set(number, message);
    // The connection may go: whoever connects again catches up.
    this.catchUp().catch(() => {});
  }

  // Asks until nothing is missing. One asks at a time; the others wait for its outcome.
  catchUp(): Promise<void> {
    this.filling ??= this.fill().finally(() => {
      this.filling = undefined;
    });
    return this.filling;
  }

  private async fill(): Promise<void> {
    for (let more = true; more; ) {
      const before = this.last;
      const page = await this.fetch(this.last);
      for (const message of page.messages) this.skipTo(message);
      this.takeHeld();
      more = (page.more || this.held.size > 0) && this.last > before;
    }
  }

  // A page is whole: a number that it leaves out is one that is no longer kept.
  private skipTo(message: WireMessage): void {
    if (this.numberOf(message) > this.last) this.take(message);
  }

  private take(message: WireMessage): void {
    this.last = this.numberOf(message);
    this.apply(message);
  }

  private takeHeld(): void {
    for (const number of [...this.held.keys()].sort((a, b) => a - b)) {
      const message = this.held.get(number)!;
      if (number > this.last + 1) return;
      this.held.delete(number);
      if (number === this.last + 1) this.take(message);
    }
  }
}
