-- Several plans side by side, priced for a household as in plan-search. The premium is null if the plan is not sold in the
-- county, or has no rate for a member who is charged for.
with household as materialized (
  select least(age, 64) as age, count(*) as members
  from (
    select member.age, row_number() over (partition by member.age < 21 order by member.age desc) as place
    from unnest(:ages::int[]) as member(age)
  ) listed
  where age >= 21 or place <= 3
  group by least(age, 64)
)
select p.plan_id, p.plan_name, p.metal_level, p.plan_type, i.issuer_name,
  case when price.ages = (select count(*) from household) then price.premium end as premium,
  (
    select json_object_agg(b.benefit, b.cost_text order by b.benefit)
    from plan_benefits b
    where b.plan_id = p.plan_id and b.plan_year = p.plan_year and b.variant = 'standard'
  ) as benefits
from plans p
join issuers i on i.issuer_id = p.issuer_id
left join plan_county s
  on s.county_fips = :county::text and s.plan_year = p.plan_year and s.plan_id = p.plan_id
left join counties c on c.county_fips = s.county_fips
cross join lateral (
  select sum(rate.premium * h.members) as premium, count(*) as ages
  from household h
  cross join lateral (
    select r.premium
    from rates r
    where r.plan_id = p.plan_id and r.plan_year = p.plan_year and r.age = h.age and r.rating_area = c.rating_area
    offset 0
  ) rate
) price
where p.plan_id = any (:ids::text[]) and p.plan_year = :year::int
order by p.plan_id
