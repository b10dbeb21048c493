export { createView } from './create-view.js';
export type * from './types.js';
