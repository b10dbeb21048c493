import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Lets real time pass where that is what is tested: what the clock brings about, or what must not happen meanwhile.
 * Never to be in time for something: `until` waits for that.
 */
export const elapse = (ms: number): Promise<void> => sleep(ms);
