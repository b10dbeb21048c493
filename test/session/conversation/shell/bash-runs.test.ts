import { holdAgainstBash } from './against-bash.js';

holdAgainstBash(250);
