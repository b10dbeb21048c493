export * from 'codex-task-worker/workflows';
export * from './merging.js';
