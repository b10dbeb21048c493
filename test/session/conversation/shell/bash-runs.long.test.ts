import { holdAgainstBash } from './against-bash.js';

holdAgainstBash(4_000);
