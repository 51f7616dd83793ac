/**
 * The dashboard's page, which the scheduler serves itself.
 */
import { PANES } from '../panes';

document.title = `jupyterfut: ${PANES.length} panes`;
