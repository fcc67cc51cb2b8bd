//! The one GraphQL query that `gh` sends before it reads or changes a release: which one has a tag, drafts included.

use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::call::{Call, json};
use super::refusal::Refusal;

#[derive(Deserialize)]
struct Question {
    query: String,
    variables: Value,
}

impl Call<'_> {
    pub(super) fn graphql(&self) -> Result<Response, Refusal> {
        if !self.trusted {
            return Err(Refusal::requires_authentication());
        }
        let asked: Question =
            serde_json::from_slice(self.body()?).map_err(|_| Refusal::not_json())?;
        let text = |key: &str| asked.variables[key].as_str().unwrap_or_default();
        let query = asked.query.replace(' ', "");
        let known = query.contains("{release(tagName:$tagName){databaseId,isDraft}}");
        if !known || text("owner") != self.shared.owner || text("name") != self.shared.repo {
            let error =
                json!({"errors": [{"message": format!("not served here: {}", asked.query)}]});
            return Ok(json(StatusCode::OK, &error));
        }
        let state = self.state();
        let tagged = state.by_tag(text("tagName")).ok();
        let drafts = state.list(self.pushes);
        let mut drafts = drafts.into_iter();
        let found = tagged.or_else(|| drafts.find(|draft| draft.tag_name == text("tagName")));
        let release =
            found.map(|release| json!({"databaseId": release.id, "isDraft": release.draft}));
        let answer = json!({"data": {"repository": {"release": release}}});
        Ok(json(StatusCode::OK, &answer))
    }
}
