import { failuresOf } from './failure-converter.js';
import { encodesFailures } from './workflow-code.js';

/** The failure converter of workflow code: it reads encoded failures, and makes them in a worker that encrypts. */
export const failureConverter = failuresOf(encodesFailures());
