//! Who may do what with a secret, by role, project and ACL.

use anyhow::Result;
use key_migrator_tests::{RoleWorld, User};
use reqwest::Method;
use reqwest::header::ACCEPT;
use serde_json::{Value, json};

use super::{Caller, Reply, not_allowed};
use crate::testbed::Testbed;

contract! {
    rights_go_by_role_project_and_acl
    a_refusal_says_what_was_not_allowed
}

/// Who tries: each in the creator's project unless it says otherwise.
#[derive(Clone, Copy, Debug)]
enum Who {
    Creator,
    /// With the role that stores.
    Colleague,
    /// With the role that stores in the other world.
    WrongRole,
    /// With the role `service`.
    Service,
    ProjectAdmin,
    /// With the role that stores, in another project.
    Stranger,
    /// An admin of another project.
    FarAdmin,
}
use Who::{Colleague, Creator, FarAdmin, ProjectAdmin, Service, Stranger, WrongRole};

const EVERYBODY: [Who; 7] = [
    Creator,
    Colleague,
    WrongRole,
    Service,
    ProjectAdmin,
    Stranger,
    FarAdmin,
];

/// What they may, a letter each: show (m)etadata, read the (p)ayload, list the (c)onsumers, (r)ead,
/// (w)rite and (x) delete the ACL, (d)elete the secret.
const ALL: &str = "mpcrwxd";

async fn rights_go_by_role_project_and_acl(cloud: &impl Testbed) -> Result<()> {
    let people = People::create(cloud).await?;
    let (far_admin, colleague) = match cloud.world() {
        RoleWorld::AsShipped => ("md", ""),
        RoleWorld::Creator => ("", "r"),
    };
    let open = |who| match who {
        Creator | Colleague | ProjectAdmin => ALL,
        FarAdmin => far_admin,
        WrongRole | Service | Stranger => "",
    };
    let private = |who| match who {
        Creator | ProjectAdmin => ALL,
        Colleague => colleague,
        FarAdmin => far_admin,
        WrongRole | Service | Stranger => "",
    };
    people.try_everything(&json!({}), open).await?;
    people
        .try_everything(&json!({ "read": { "project-access": false } }), private)
        .await?;

    let stranger = &people.person(Stranger).user_id;
    let reader = |who| {
        if matches!(who, Stranger) {
            "mpc"
        } else {
            open(who)
        }
    };
    people
        .try_everything(&json!({ "read": { "users": [stranger] } }), reader)
        .await?;

    let service = &people.person(Service).user_id;
    let acl = json!({ "read": { "project-access": false, "users": [service] } });
    let private_reader = |who| {
        if matches!(who, Service) {
            "mpc"
        } else {
            private(who)
        }
    };
    people.try_everything(&acl, private_reader).await
}

async fn a_refusal_says_what_was_not_allowed(cloud: &impl Testbed) -> Result<()> {
    let secret = Caller::anybody(cloud).await?.store("a").await?;
    let stranger = cloud.create_authorised_cinder_user().await?;
    let caller = Caller::new(cloud, &stranger).await?;
    let acl = format!("{secret}/acl");
    for (reply, what) in [
        (caller.get(&secret).await?, "Secret retrieval"),
        (payload(&caller, &secret).await?, "Secret payload retrieval"),
        (caller.delete(&secret).await?, "Secret deletion"),
        (caller.get(&acl).await?, "SecretACL(s) retrieval"),
        (
            caller
                .send(Method::PUT, &acl, &json!({ "write": 1 }))
                .await?,
            "SecretACL(s) Update",
        ),
        (
            caller.send(Method::PATCH, &acl, &json!({})).await?,
            "SecretACL(s) Update",
        ),
        (caller.delete(&acl).await?, "SecretACL(s) deletion"),
    ] {
        reply.assert_refused(403, &not_allowed(what))?;
    }
    Ok(())
}

async fn payload(caller: &Caller, secret: &str) -> Result<Reply> {
    let request = caller.request(Method::GET, &format!("{secret}/payload"));
    Reply::to(request.header(ACCEPT, "application/octet-stream")).await
}

/// Everybody, signed in.
struct People([Person; 7]);

struct Person {
    user_id: String,
    caller: Caller,
}

impl People {
    async fn create(cloud: &impl Testbed) -> Result<Self> {
        let creator = cloud.create_authorised_cinder_user().await?;
        let far_admin = cloud.create_cinder_user().await?;
        cloud.grant(&far_admin, "admin").await?;
        let colleague = async |role: &str| cloud.create_colleague(&creator, &[role]).await;
        let sign_in = async |user: &User| {
            anyhow::Ok(Person {
                user_id: user.user_id.clone(),
                caller: Caller::new(cloud, user).await?,
            })
        };
        // In the order of `EVERYBODY`.
        Ok(Self([
            sign_in(&creator).await?,
            sign_in(&colleague(&cloud.storing_role()).await?).await?,
            sign_in(&colleague(cloud.world().useless_role()).await?).await?,
            sign_in(&colleague("service").await?).await?,
            sign_in(&colleague("admin").await?).await?,
            sign_in(&cloud.create_authorised_cinder_user().await?).await?,
            sign_in(&far_admin).await?,
        ]))
    }

    fn person(&self, who: Who) -> &Person {
        &self.0[who as usize]
    }

    /// Lets everybody try everything with a secret of this ACL.
    async fn try_everything(
        &self,
        acl: &Value,
        expected: impl Fn(Who) -> &'static str,
    ) -> Result<()> {
        let creator = &self.person(Creator).caller;
        for who in EVERYBODY {
            let secret = creator.store("a").await?;
            let acl_path = format!("{secret}/acl");
            let put = creator.send(Method::PUT, &acl_path, acl).await?;
            assert_eq!(put.status, 200, "{put:?}");
            let caller = &self.person(who).caller;
            let mut rights = String::new();
            let mut note = |right: char, status: u16| match status {
                200 | 204 => rights.push(right),
                status => assert_eq!(status, 403, "{who:?} {right}"),
            };
            note('m', caller.get(&secret).await?.status);
            note('p', payload(caller, &secret).await?.status);
            let consumers = caller.get(&format!("{secret}/consumers")).await?;
            note('c', consumers.status);
            note('r', caller.get(&acl_path).await?.status);
            note('w', caller.send(Method::PUT, &acl_path, acl).await?.status);
            note('x', caller.delete(&acl_path).await?.status);
            creator.send(Method::PUT, &acl_path, acl).await?;
            note('d', caller.delete(&secret).await?.status);
            assert_eq!(rights, expected(who), "{who:?} with {acl}");
        }
        Ok(())
    }
}
