/** The one websocket of a JupyterLab page, through the server extension: the same way, login and prefix as everything else in JupyterLab. */
import { URLExt } from '@jupyterlab/coreutils';
import type { ServerConnection } from '@jupyterlab/services';
import type { Feed } from '../feed/feed';
import { WebSocketFeed } from '../feed/websocket';

export function connect(settings: ServerConnection.ISettings): Feed {
  return new WebSocketFeed({
    url: () => {
      const url = URLExt.join(settings.wsUrl, 'jupyterfut/api/socket');
      return settings.appendToken && settings.token !== '' ? `${url}?token=${encodeURIComponent(settings.token)}` : url;
    },
    WebSocket: settings.WebSocket,
  });
}
