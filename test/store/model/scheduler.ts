/** Random numbers that a seed repeats (mulberry32). */
export function randomFrom(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

/** A process that died: what it waits for never comes. */
const NEVER = new Promise<never>(() => undefined);

interface Step {
  run: () => unknown;
  settle: (outcome: Promise<unknown>) => void;
}

/**
 * One process of the model. Each of its database operations waits here until the scheduler lets it through, so that
 * the operations of several processes interleave in an order that the test's seed decides.
 */
export class Actor {
  private steps: Step[] = [];
  private act: Promise<void> | null = null;
  /** How often it died. */
  life = 0;
  private failure: Error | null = null;

  constructor(readonly name: string) {}

  get busy(): boolean {
    return this.act !== null;
  }

  /** Begins an act; it takes its steps through `pass`. */
  begin(act: () => Promise<void>): void {
    const life = this.life;
    this.act = act().then(
      () => this.end(life),
      (error: unknown) => {
        if (life === this.life) this.failure = error as Error;
        this.end(life);
      },
    );
  }

  private end(life: number): void {
    if (life === this.life) this.act = null;
  }

  /** One database operation: it happens when the scheduler says so, or never. */
  pass<T>(run: () => T | Promise<T>): Promise<T> {
    return new Promise<T>((resolve) => {
      this.steps.push({ run, settle: (outcome) => resolve(outcome as Promise<T>) });
    });
  }

  /** Waits until the actor stands before its next step or has ended its act. */
  async settle(): Promise<void> {
    while (this.act && this.steps.length === 0) await new Promise((resolve) => setImmediate(resolve));
    if (this.failure !== null) throw this.failure;
  }

  /** Lets the next step happen. */
  async go(): Promise<void> {
    const step = this.steps.shift();
    if (!step) return;
    const outcome = Promise.resolve().then(step.run);
    await outcome.catch(() => undefined);
    step.settle(outcome);
    await this.settle();
  }

  /** Dies before its next step, or after it and before it heard of it. */
  async crash(afterStep: boolean): Promise<void> {
    const [step] = this.steps;
    if (process.env['MODEL_TRACE']) console.log(`${this.name} dies`);
    this.steps = [];
    this.act = null;
    this.life += 1;
    // What becomes of it nobody hears, a failure neither.
    if (step && afterStep)
      await Promise.resolve()
        .then(step.run)
        .catch(() => undefined);
    step?.settle(NEVER);
  }
}
