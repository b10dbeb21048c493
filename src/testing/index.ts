export { type AskedChange, type AskedQuestion, type AskedRequest } from './asked-request.js';
export { type Heard } from './play.js';
export {
  scriptedCodex,
  type AskedCodex,
  type Branch,
  type Script,
  type ScriptedCodex,
  type ScriptedFailure,
  type ScriptStep,
} from './script.js';
export {
  startScriptedWorker,
  type ScriptedPlace,
  type ScriptedWorker,
  type ScriptedWorkerOptions,
} from './scripted-worker.js';
