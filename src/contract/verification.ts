/** Workflow types that keep seeds fresh. */
export const VERIFY_SEED = 'verifySeed';
export const VERIFY_POOL = 'verifyPool';

/** What became of one seed. */
export interface SeedVerdict {
  seedId: string;
  /** `dead`: its login is lost for good, and no task gets it. `inconclusive`: nothing was decided. */
  verdict: 'alive' | 'dead' | 'inconclusive';
  reason: string;
  /** Its refresh token was spent for a new one, which is in the database. */
  rotated: boolean;
  /** Who it is and how much of it is used, in one line. */
  account?: string;
}

export interface VerifySeedInput {
  seedId: string;
}

export interface VerifyPoolInput {
  pool: string;
  /** Also checks fresh seeds, without a refresh; default false. */
  all?: boolean;
  /** Longest pause before each seed but the first, in milliseconds; a random part of it is waited. Default 30,000. */
  jitterMs?: number;
}

export interface VerifyPoolResult {
  pool: string;
  seeds: SeedVerdict[];
  /** Seeds that need nothing: fresh ones, and dead ones. */
  skipped: { fresh: number; dead: number; inUse: number };
  /** Seeds beyond one run's number, left to the next one. */
  left: number;
}
