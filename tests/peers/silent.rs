//! A server of HTTP/2 that takes every call and answers none.

use std::net::SocketAddr;

use tokio::net::TcpListener;
use tokio::sync::watch;

/// It takes calls for as long as the test lasts.
pub struct Silent {
    /// Where it listens.
    pub address: SocketAddr,
    asked: watch::Receiver<Vec<String>>,
}

impl Silent {
    pub async fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let (taken, asked) = watch::channel(Vec::new());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let taken = taken.clone();
                tokio::spawn(async move {
                    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
                    let mut unanswered = Vec::new();
                    while let Some(request) = connection.accept().await {
                        if let Ok((call, _)) = &request {
                            taken.send_modify(|paths| paths.push(call.uri().path().to_owned()));
                        }
                        unanswered.push(request);
                    }
                });
            }
        });
        Self { address, asked }
    }

    /// Waits until a method was called so often.
    pub async fn asked(&self, method: &str, times: usize) {
        let calls = |paths: &Vec<String>| paths.iter().filter(|path| path.ends_with(method)).count();
        self.asked.clone().wait_for(|paths| calls(paths) >= times).await.expect("it listens on");
    }
}
