import { failuresOf } from './failure-converter.js';
import { encodesFailures } from './workflow-code.js';

/** The one of workflow code: it reads encoded failures, and makes them in a worker that encrypts. */
export const failureConverter = failuresOf(encodesFailures());
